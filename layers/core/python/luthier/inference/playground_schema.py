"""Wire shapes of the playground surface: everything inside `data`, snake_case."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import Field

from luthier.catalog.entity import BaseModel
from luthier.inference.entity import Answered
from luthier.inference.schema import DEFAULTS, Message
from luthier.models.entity import Model
from luthier.wire import LONGEST_NAME, Answer, Request


class Completion(Request):
    model: str = Field(min_length=1, max_length=LONGEST_NAME, description="Id of a base or a fine-tuned model.")
    messages: list[Message] = Field(min_length=1)
    temperature: float = Field(default=0.7, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=1, le=4096)

    def for_engine(self) -> dict[str, Any]:
        """The same as a chat completion."""
        asked = self.model_dump(include=self.model_fields_set)
        return asked | {DEFAULTS: self.model_dump(include={"temperature", "max_tokens"})}


class CompletionUsage(Answer):
    prompt_tokens: int
    completion_tokens: int


class CompletionData(Answer):
    """latency_ms: wall clock."""

    content: str
    latency_ms: int
    usage: CompletionUsage


class CompletionAnswer(Answer):
    data: CompletionData

    @classmethod
    def of(cls, answered: Answered) -> Self:
        usage = CompletionUsage(prompt_tokens=answered.prompt_tokens, completion_tokens=answered.completion_tokens)
        return cls(data=CompletionData(content=answered.text, latency_ms=answered.latency_ms, usage=usage))


class PlaygroundBaseModel(Answer):
    id: str
    name: str
    type: Literal["base"] = "base"


class PlaygroundModel(Answer):
    id: str
    name: str
    type: Literal["fine-tuned"] = "fine-tuned"
    base_model: str


class PlaygroundModels(Answer):
    base_models: list[PlaygroundBaseModel]
    fine_tuned_models: list[PlaygroundModel]


class PlaygroundModelsAnswer(Answer):
    data: PlaygroundModels

    @classmethod
    def of(cls, base_models: Sequence[BaseModel], models: Sequence[Model]) -> Self:
        bases = [PlaygroundBaseModel(id=base.id, name=base.name) for base in base_models]
        tuned = [_tuned(model) for model in models]
        return cls(data=PlaygroundModels(base_models=bases, fine_tuned_models=tuned))


def _tuned(model: Model) -> PlaygroundModel:
    """The name that this surface gives is `<org>/<base>-ft-<id>`; an imported model has only its own."""
    own = next((name for name in model.names if "-ft-" in name and "/" in name), model.name)
    return PlaygroundModel(id=own, name=own.rsplit("/", 1)[-1], base_model=model.base_model)
