"""Wire shapes of the model registry on the training_models surface: the union of both layers of its page.

Keys are camelCase; inside `architecture`, `training` and `metrics` of a single model, and in the body that archives
one, they are snake_case, as the page has them.
"""

from typing import Annotated, Any, Self

from pydantic import Field, field_validator

from luthier.models import behavior, files, measured
from luthier.models.entity import Model, Unfinished
from luthier.models.listing import Listed
from luthier.models.remains import Remains
from luthier.pages import Page
from luthier.wire import LONGEST_NAME, Answer, Called, CamelAnswer, CamelRequest, Request, Told

_FRAMEWORK = "pytorch"
_UNSENT: Any = None
Number = float | None
Description = Annotated[Told, Field(max_length=2_000)]
Tag = Annotated[Called, Field(min_length=1, max_length=64)]
Change = Annotated[Told, Field(min_length=1, max_length=300)]
Key = Annotated[str, Field(min_length=1, max_length=64)]


class UpdateModel(CamelRequest):
    """What is not sent stays as it is; tags and metadata are replaced as a whole. An old name still resolves."""

    name: str = Field(default=_UNSENT, min_length=1, max_length=200)
    description: Description | None = Field(default=None, description="Null removes it.")
    tags: list[Tag] = Field(default=_UNSENT, max_length=50)
    metadata: dict[Key, str] = Field(
        default=_UNSENT,
        max_length=32,
        description=f"Values of up to {behavior.LONGEST_VALUE} characters. The model is told `{behavior.KEY}`, JSON "
        f"of a behaviour spec of up to {behavior.MOST_CHARACTERS}, before every conversation.",
    )

    @field_validator("metadata")
    @classmethod
    def _fits(cls, metadata: dict[str, str]) -> dict[str, str]:
        behavior.check_metadata(metadata)
        return metadata

    def changes(self) -> dict[str, Any]:
        sent = self.model_dump(exclude_unset=True)
        return sent | ({"tags": list(dict.fromkeys(sent["tags"]))} if "tags" in sent else {})


class AddVersion(CamelRequest):
    version: str = Field(min_length=1, max_length=64, description="Semantic, as v1.2.0 or v2.0.0-rc.1.")
    training_job_id: str = Field(
        min_length=1, max_length=LONGEST_NAME, description="A completed job, or a completed import."
    )
    description: Description | None = None
    changelog: list[Change] = Field(default=[], max_length=50)


class ArchiveModel(Request):
    reason: Told | None = Field(default=None, max_length=1_000)
    retention_period: str | None = Field(
        default=None, max_length=20, description="Days (90d), weeks (12w) or months of 30 days (3m); 90d by default."
    )


class ModelSize(CamelAnswer):
    """`compressed`: of the newest archive that was built for a download."""

    parameters: int | None
    bytes: int | None
    compressed: int | None


class DetailedSize(Answer):
    parameters: int | None
    trainable_parameters: int | None
    bytes: int | None
    compressed: int | None


class BriefMetrics(CamelAnswer):
    final_loss: Number
    accuracy: Number
    perplexity: Number


class DeploymentCount(Answer):
    active: int
    endpoints: list[str]


class ModelItem(CamelAnswer):
    id: str
    name: str
    type: str
    status: str
    base_model: str
    version: str | None
    training_job_id: str | None
    size: ModelSize
    metrics: BriefMetrics
    deployments: DeploymentCount
    created_at: str
    updated_at: str
    model_id: str
    framework: str
    model_type: str
    accuracy: Number
    completed_at: str | None

    @classmethod
    def of(cls, listed: Listed) -> Self:
        model = listed if isinstance(listed, Model) else None
        active = model.active_deployments if model else []
        sizes = ("parameters", "bytes", "compressed_bytes")
        parameters, size, compressed = (getattr(model, name, None) for name in sizes)
        brief = measured.brief(model) if model else dict.fromkeys(("final_loss", "accuracy", "perplexity"))
        return cls(
            **_named(listed),
            version=model.version if model else None,
            size=ModelSize(parameters=parameters, bytes=size, compressed=compressed),
            metrics=BriefMetrics(**brief),
            deployments=DeploymentCount(active=len(active), endpoints=active),
            accuracy=brief["accuracy"],
        )


class Pagination(CamelAnswer):
    total: int
    limit: int
    offset: int
    has_more: bool

    @classmethod
    def of(cls, page: Page[Any]) -> Self:
        return cls(total=page.count, limit=page.limit, offset=page.offset, has_more=page.has_more)


class ModelItems(CamelAnswer):
    models: list[ModelItem]
    pagination: Pagination
    total: int

    @classmethod
    def of(cls, page: Page[Listed]) -> Self:
        return cls(models=[ModelItem.of(row) for row in page.rows], pagination=Pagination.of(page), total=page.count)


class Architecture(Answer):
    layers: int | None = None
    attention_heads: int | None = None
    hidden_size: int | None = None
    vocabulary_size: int | None = None
    context_length: int | None = None


class AdapterParameters(Answer):
    rank: int | None = None
    alpha: Number = None
    dropout: Number = None
    target_modules: list[str] | str | None = None


class TrainingFacts(Answer):
    """`training_time` in seconds."""

    strategy: str | None = None
    parameters: AdapterParameters = AdapterParameters()
    epochs: Number = None
    final_learning_rate: Number = None
    total_steps: int | None = None
    training_time: Number = None


class TrainingMetrics(Answer):
    final_loss: Number = None
    best_loss: Number = None
    perplexity: Number = None


class ValidationMetrics(Answer):
    """Shares lie between 0 and 1. `accuracy`: answers that match exactly, or pairs that are preferred as wished."""

    loss: Number = None
    accuracy: Number = None
    f1_score: Number = None
    bleu_score: Number = None
    perplexity: Number = None
    token_accuracy: Number = None


class ModelMetrics(Answer):
    """`custom`: scores of evaluation tasks."""

    training: TrainingMetrics = TrainingMetrics()
    validation: ValidationMetrics = ValidationMetrics()
    custom: dict[str, float] = {}


class ModelFile(Answer):
    name: str
    size: int
    type: str
    checksum: str


class ModelDeployment(CamelAnswer):
    id: str
    name: str
    status: str
    url: str
    workers: int
    created_at: str
    environment: str | None


class TrainedOn(CamelAnswer):
    """`sha256` of the rows that were read."""

    role: str
    file_id: str | None
    sha256: str
    rows: int


class Lineage(CamelAnswer):
    job_id: str | None
    datasets: list[TrainedOn] = []
    parent_model: str | None = None
    base_model: str
    base_revision: str | None = None


class Archived(CamelAnswer):
    """`expires_at`: it can be restored until then, and is deleted afterwards; `kept_because`: why it was not."""

    reason: str | None
    archived_at: str
    retention_period: str
    expires_at: str
    kept_because: str | None


class ModelDetails(CamelAnswer):
    id: str
    name: str
    type: str
    status: str
    description: str | None
    base_model: str
    version: str | None
    training_job_id: str | None
    dataset_id: str | None
    architecture: Architecture
    training: TrainingFacts
    size: DetailedSize
    metrics: ModelMetrics
    files: list[ModelFile]
    deployments: list[ModelDeployment]
    tags: list[str]
    metadata: dict[str, str]
    created_at: str
    updated_at: str
    model_id: str
    framework: str
    model_type: str
    accuracy: Number
    completed_at: str | None
    names: list[str]
    family: str | None
    changelog: list[str]
    lineage: Lineage
    archived: Archived | None
    status_reason: dict[str, Any] | None

    @classmethod
    def of(cls, listed: Listed, base_url: str) -> Self:
        if isinstance(listed, Unfinished):
            return cls(**_named(listed), **_details_to_be(listed))
        return cls(**_named(listed), **_details(listed, base_url))


class ModelVersions(CamelAnswer):
    """In semantic order, the lowest first."""

    versions: list[ModelDetails]
    pagination: Pagination
    total: int

    @classmethod
    def of(cls, page: Page[Model], base_url: str) -> Self:
        rows = [ModelDetails.of(model, base_url) for model in page.rows]
        return cls(versions=rows, pagination=Pagination.of(page), total=page.count)


class ModelDeleted(CamelAnswer):
    id: str
    model_id: str
    deleted: bool = True

    @classmethod
    def of(cls, remains: Remains) -> Self:
        return cls(id=remains.id, model_id=remains.id)


def _named(listed: Listed) -> dict[str, Any]:
    """What items and details have in common."""
    return {
        "id": listed.id,
        "model_id": listed.id,
        "name": listed.name,
        "type": listed.type,
        "model_type": listed.type,
        "status": listed.status,
        "base_model": listed.base_model,
        "training_job_id": listed.job_id or None,
        "framework": _FRAMEWORK,
        "created_at": listed.created_at,
        "updated_at": listed.updated_at,
        "completed_at": listed.created_at if isinstance(listed, Model) else None,
    }


def _details(model: Model, base_url: str) -> dict[str, Any]:
    trained_on = next((read["file_id"] for read in model.datasets if read["role"] == "train"), None)
    return {
        "description": model.description,
        "version": model.version,
        "dataset_id": trained_on,
        "architecture": Architecture(**model.architecture),
        "training": _training(model),
        "size": DetailedSize(
            parameters=model.parameters,
            trainable_parameters=model.trainable_parameters,
            bytes=model.bytes,
            compressed=model.compressed_bytes,
        ),
        "metrics": ModelMetrics(
            training=TrainingMetrics(**measured.training(model)),
            validation=ValidationMetrics(**measured.validation(model)),
            custom=measured.custom(model),
        ),
        "files": [ModelFile(**file) for file in files.described(model.files)],
        "deployments": [
            ModelDeployment(id=id, url=f"{base_url}/v2/{id}/runsync", **facts)
            for id, facts in model.deployments.items()
        ],
        "tags": model.tags,
        "metadata": model.metadata,
        "accuracy": measured.brief(model)["accuracy"],
        "names": model.names,
        "family": model.family,
        "changelog": model.changelog,
        "lineage": Lineage(
            job_id=model.job_id or None,
            datasets=[TrainedOn(**read) for read in model.datasets],
            parent_model=model.parent,
            base_model=model.base_model,
            base_revision=model.base_revision,
        ),
        "archived": _archived(model.archived) if model.archived else None,
        "status_reason": None,
    }


def _training(model: Model) -> TrainingFacts:
    known = {name: value for name, value in model.training.items() if name in TrainingFacts.model_fields}
    return TrainingFacts(**known | {"parameters": AdapterParameters(**model.training.get("parameters", {}))})


def _archived(facts: dict[str, Any]) -> Archived:
    return Archived(archived_at=facts["at"], **{name: facts[name] for name in facts if name not in ("at", "due")})


def _details_to_be(listed: Unfinished) -> dict[str, Any]:
    """What is not known yet is null or empty."""
    unknown = ("version", "dataset_id", "accuracy", "family", "archived")
    return {
        **dict.fromkeys(unknown),
        "description": listed.description,
        "architecture": Architecture(),
        "training": TrainingFacts(),
        "size": DetailedSize(parameters=None, trainable_parameters=None, bytes=None, compressed=None),
        "metrics": ModelMetrics(),
        "files": [],
        "deployments": [],
        "tags": [],
        "metadata": {},
        "names": [],
        "changelog": [],
        "lineage": Lineage(job_id=listed.job_id, parent_model=listed.parent, base_model=listed.base_model),
        "status_reason": listed.status_reason,
    }
