"""Wire shapes of a single inference on the tuning surface: a prompt or a conversation in, a text out; camelCase."""

from typing import Any, Self

from pydantic import Field, model_validator

from luthier.errors import InvalidRequest
from luthier.inference.entity import Answered
from luthier.inference.schema import DEFAULTS, Message
from luthier.wire import LONGEST_NAME, CamelAnswer, CamelRequest

_SAMPLING = {"temperature", "max_tokens", "top_p", "top_k"}


class Inference(CamelRequest):
    prompt: str | None = Field(default=None, min_length=1, description="What the model is asked.")
    messages: list[Message] | None = Field(
        default=None, min_length=1, description="A conversation instead of a prompt."
    )
    temperature: float = Field(default=0.7, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=1)
    top_p: float = Field(default=1.0, ge=0, le=1)
    top_k: int = Field(default=50, ge=1, description="How many of the likeliest tokens are drawn from.")
    metadata: dict[str, Any] | None = Field(default=None, description="Comes back with the answer.")

    @model_validator(mode="after")
    def _asks_once(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise InvalidRequest(
                "Exactly one of prompt and messages must be given.", param="prompt", remedy="Send one."
            )
        return self

    def for_engine(self, model: str) -> dict[str, Any]:
        """The same as a chat completion."""
        asked = [message.model_dump() for message in self.messages or [Message(role="user", content=self.prompt or "")]]
        sampling = self.model_dump(include=_SAMPLING)
        sent = {name: value for name, value in sampling.items() if name in self.model_fields_set}
        return {"model": model, "messages": asked, **sent, DEFAULTS: sampling}


class PlaygroundInference(Inference):
    model_id: str = Field(min_length=1, max_length=LONGEST_NAME, description="Any name of a deployed model.")
    max_tokens: int = Field(default=800, ge=1)


class Inferred(CamelAnswer):
    """tokens: of the prompt and the answer together; latency: milliseconds."""

    text: str
    tokens: int
    model: str
    latency: int
    metadata: dict[str, Any] | None

    @classmethod
    def of(cls, answered: Answered, metadata: dict[str, Any] | None) -> Self:
        return cls(
            text=answered.text,
            tokens=answered.prompt_tokens + answered.completion_tokens,
            model=answered.model,
            latency=answered.latency_ms,
            metadata=metadata,
        )
