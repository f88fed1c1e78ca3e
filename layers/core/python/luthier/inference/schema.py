"""Wire shapes of chat and text completion requests: every parameter that OpenAI documents, and no other."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from luthier.errors import InvalidRequest
from luthier.wire import LONGEST_NAME, Request

# Said to OpenAI's platform, not to the model: accepted, and of no effect here.
_PLATFORM = {
    "metadata", "moderation", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "safety_identifier",
    "service_tier", "store", "stream", "stream_options", "user",
}  # fmt: skip


# In a request as the engine is asked: what the surface documents for parameters that were left out.
DEFAULTS = "defaults"
# What fits OpenAI's int64.
Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]

_ROLES = ("developer", "system", "user", "assistant", "tool", "function")


class Message(Request):
    """One turn of a conversation, on the surfaces that know text only."""

    role: Literal["system", "user", "assistant"]
    content: str


class StreamOptions(Request):
    include_usage: bool | None = Field(default=None, description="Whether a last chunk counts the tokens.")
    include_obfuscation: bool | None = Field(default=None, description="Accepted, and of no effect here.")


class _Streamed(Request):
    """What both have that concerns the way of the answer, not the answer."""

    stream: bool | None = Field(default=None, description="Whether to answer in server-sent events.")
    stream_options: StreamOptions | None = None

    @property
    def includes_usage(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> Self:
        if self.stream_options and not self.stream:
            raise InvalidRequest(
                "stream_options needs stream to be true.", param="stream_options", remedy="Send both, or neither."
            )
        return self

    def for_engine(self) -> dict[str, Any]:
        """What the serving engine is asked: the parameters that were sent and that mean something to a model."""
        return self.model_dump(exclude_none=True, exclude=_PLATFORM)


class ChatRequest(_Streamed):
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
    seed: Seed | None = None
    service_tier: Any = None
    stop: str | list[str] | None = None
    store: Any = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    tool_choice: Any = None
    tools: list[dict[str, Any]] | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    top_p: float | None = Field(default=None, ge=0, le=1)
    user: Any = None
    verbosity: Any = None
    web_search_options: Any = None

    @field_validator("messages")
    @classmethod
    def _known_roles(cls, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for index, message in enumerate(messages):
            if message.get("role") not in _ROLES:
                param = f"messages[{index}].role"
                raise InvalidRequest(
                    f"`{param}` is {message.get('role')!r}.", param=param, remedy=f"Choose one of {', '.join(_ROLES)}."
                )
        return messages


class CompletionRequest(_Streamed):
    model: str = Field(min_length=1, max_length=LONGEST_NAME, description="Any name of a deployed model.")
    prompt: str | list[str] | list[int] | list[list[int]] = Field(
        min_length=1, description="Text, or token ids, or a list of either."
    )
    best_of: int | None = Field(default=None, ge=1, le=20)
    echo: bool | None = None
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    logprobs: int | None = Field(default=None, ge=0, le=5)
    max_tokens: int | None = Field(default=None, ge=1)
    n: int | None = Field(default=None, ge=1, le=128)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    seed: Seed | None = None
    stop: str | list[str] | None = None
    suffix: str | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    user: Any = None
