"""Wire shapes of asking an endpoint by its id: `{"input": …}` in, `{"output": …}` out; camelCase."""

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from luthier.errors import InvalidRequest
from luthier.inference.entity import Answered
from luthier.inference.schema import Message, Seed
from luthier.wire import CamelAnswer, CamelRequest, Request


class Input(Request):
    """A prompt or a conversation, with OpenAI's sampling parameters."""

    model_config = ConfigDict(extra="forbid")

    prompt: str | None = Field(default=None, min_length=1)
    messages: list[Message] | None = Field(default=None, min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0, le=2)
    seed: Seed | None = None
    stop: str | list[str] | None = None

    @model_validator(mode="after")
    def _asks_once(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise InvalidRequest("input must hold either prompt or messages.", param="input.prompt", remedy="Send one.")
        return self

    def for_engine(self, model: str) -> dict[str, Any]:
        """The same as a chat completion."""
        asked = [message.model_dump() for message in self.messages or [Message(role="user", content=self.prompt or "")]]
        sampling = self.model_dump(exclude_none=True, exclude={"prompt", "messages"})
        return {"model": model, "messages": asked, **sampling}


class RunSync(CamelRequest):
    input: Input


class RunMetadata(CamelAnswer):
    model: str
    tokens_used: int
    cost: float


class RunOutput(CamelAnswer):
    text: str
    finish_reason: str


class RunAnswer(CamelAnswer):
    """execution_time: seconds."""

    output: RunOutput
    execution_time: float
    status: Literal["completed"] = "completed"
    metadata: RunMetadata

    @classmethod
    def of(cls, answered: Answered) -> Self:
        return cls(
            output=RunOutput(text=answered.text, finish_reason=answered.finish_reason),
            execution_time=answered.latency_ms / 1000,
            metadata=RunMetadata(
                model=answered.model,
                tokens_used=answered.prompt_tokens + answered.completion_tokens,
                cost=answered.cost,
            ),
        )
