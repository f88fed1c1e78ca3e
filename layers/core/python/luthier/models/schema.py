"""Wire shapes of models on the openai surface."""

from typing import Literal, Self

from luthier import clock
from luthier.aliases.entity import Alias
from luthier.models.entity import Model
from luthier.wire import Answer


class ModelObject(Answer):
    """OpenAI's model object; what Luthier adds comes last. `created` is in Unix seconds.

    An alias is one too; what it leads to stands at `/v2/training/aliases/{name}`.
    """

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    model_id: str | None
    names: list[str]
    base_model: str | None
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

    @classmethod
    def of_alias(cls, alias: Alias) -> Self:
        return cls(
            id=alias.name,
            created=clock.epoch(alias.created_at),
            owned_by=alias.organization_id,
            model_id=None,
            names=[alias.name],
            base_model=None,
            job_id=None,
        )


class ModelList(Answer):
    object: Literal["list"] = "list"
    data: list[ModelObject]

    @classmethod
    def of(cls, models: list[Model], aliases: list[Alias]) -> Self:
        return cls(data=[*map(ModelObject.of_alias, aliases), *map(ModelObject.of, models)])


class ModelObjectDeleted(Answer):
    id: str
    object: Literal["model"] = "model"
    deleted: Literal[True] = True
