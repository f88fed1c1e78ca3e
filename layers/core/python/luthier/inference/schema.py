"""Wire shape of a chat completion request: every parameter that OpenAI documents, and no other."""

from typing import Any, Literal

from pydantic import Field, field_validator

from luthier.errors import InvalidRequest
from luthier.wire import LONGEST_NAME, Request

# Said to OpenAI's platform, not to the model: accepted, and of no effect here.
_PLATFORM = {
    "metadata", "moderation", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier",
    "service_tier", "store", "stream", "stream_options", "user",
}  # fmt: skip


class Message(Request):
    """One turn of a conversation, on the surfaces that know text only."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(Request):
    model: str = Field(min_length=1, max_length=LONGEST_NAME, description="Any name of a deployed model.")
    messages: list[dict[str, Any]] = Field(min_length=1)
    audio: Any = None
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    function_call: Any = None
    functions: Any = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    max_completion_tokens: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    metadata: Any = None
    modalities: Any = None
    moderation: Any = None
    n: int | None = Field(default=None, ge=1, le=128)
    parallel_tool_calls: bool | None = None
    prediction: Any = None
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None
    safety_identifier: Any = None
    seed: int | None = None
    service_tier: Any = None
    stop: str | list[str] | None = None
    store: Any = None
    stream: bool | None = Field(default=None, description="Only false: this endpoint answers in one piece.")
    stream_options: Any = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    tool_choice: Any = None
    tools: list[dict[str, Any]] | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    top_p: float | None = Field(default=None, ge=0, le=1)
    user: Any = None
    verbosity: Any = None
    web_search_options: Any = None

    @field_validator("stream")
    @classmethod
    def _answer_in_one_piece(cls, stream: bool | None) -> bool | None:
        if stream:
            message, remedy = (
                "Streaming is not available yet.",
                "Send the request without it, or with false.",
            )
            raise InvalidRequest(message, code="streaming_unsupported", param="stream", remedy=remedy)
        return stream

    def for_engine(self) -> dict[str, Any]:
        """What the serving engine is asked: the parameters that were sent and that mean something to a model."""
        return self.model_dump(exclude_none=True, exclude=_PLATFORM)
