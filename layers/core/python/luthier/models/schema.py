"""Wire shapes of models on the openai surface."""

from collections.abc import Iterable
from typing import Literal, Self

from luthier import clock
from luthier.aliases.entity import Alias
from luthier.deployments.entity import Deployment
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

    @classmethod
    def of_base(cls, deployment: Deployment) -> Self:
        """A base model that is deployed for the caller."""
        return cls(
            id=deployment.base_model,
            created=clock.epoch(deployment.created_at),
            owned_by="luthier",
            model_id=None,
            names=[deployment.base_model],
            base_model=deployment.base_model,
            job_id=None,
        )


class ModelList(Answer):
    object: Literal["list"] = "list"
    data: list[ModelObject]

    @classmethod
    def of(cls, models: list[Model], aliases: list[Alias], bases: Iterable[Deployment]) -> Self:
        """bases: deployments of base models, of each one or more."""
        deployed = {base.base_model: ModelObject.of_base(base) for base in bases}
        own = map(ModelObject.of, models)
        return cls(data=[*map(ModelObject.of_alias, aliases), *own, *deployed.values()])


class ModelObjectDeleted(Answer):
    id: str
    object: Literal["model"] = "model"
    deleted: Literal[True] = True
