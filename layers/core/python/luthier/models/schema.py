"""Wire shapes of models on the openai surface."""

from typing import Literal, Self

from luthier import clock
from luthier.models.entity import Model
from luthier.wire import Answer


class ModelObject(Answer):
    """OpenAI's model object; what Luthier adds comes last. `created` is in Unix seconds."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    model_id: str
    names: list[str]
    base_model: str
    job_id: str | None

    @classmethod
    def of(cls, model: Model) -> Self:
        return cls(
            id=model.name,
            created=clock.epoch(model.created_at),
            owned_by=model.organization_id,
            model_id=model.id,
            names=model.names,
            base_model=model.base_model,
            job_id=model.job_id or None,
        )


class ModelList(Answer):
    object: Literal["list"] = "list"
    data: list[ModelObject]

    @classmethod
    def of(cls, models: list[Model]) -> Self:
        return cls(data=[ModelObject.of(model) for model in models])


class ModelObjectDeleted(Answer):
    id: str
    object: Literal["model"] = "model"
    deleted: Literal[True] = True
