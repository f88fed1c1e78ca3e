"""The model registry, on the training_models surface."""

from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.api.app import Surface, needs
from functions.api.parameters import IdempotencyKey, Limit, RetryCount
from luthier import wiring
from luthier.idempotency import Repetition
from luthier.models import registry_schema as schema
from luthier.models.listing import Wanted
from luthier.wire import LONGEST_NAME

MODELS = "/v2/training/models"
MODEL = f"{MODELS}/<model_id>"
VERSIONS = f"{MODEL}/versions"
READ, WRITE = needs("models:read"), needs("models:write")

Kind = Annotated[Literal["llm", "vision", "multimodal", "custom"] | None, Query()]
Status = Annotated[
    Literal["training", "ready", "deployed", "archived", "completed", "failed", "cancelled"] | None,
    Query(
        description="`completed`: ready and deployed ones. `training`, `failed` and `cancelled`: what jobs without a "
        "model show of it. Without a status, all models are listed, archived ones too."
    ),
]
Text = Annotated[str | None, Query(max_length=LONGEST_NAME)]
PageSize = Annotated[
    int, Query(ge=1, le=100, description="Models per page. One of the two texts that this follows says 20 for 50.")
]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="Rows to skip.")]
Sort = Annotated[Literal["created_at", "updated_at", "name", "size"], Query()]
Order = Annotated[Literal["asc", "desc"], Query()]


def add_routes(app: Surface) -> None:
    add_models(app)
    add_versions(app)
    add_retention(app)


def add_models(app: Surface) -> None:
    @app.get(MODELS, security=READ, summary="List trained models")
    def list_trained_models(
        type: Kind = None,
        status: Status = None,
        trainingJobId: Text = None,
        baseModel: Text = None,
        sort: Sort = "created_at",
        order: Order = "desc",
        limit: PageSize = 50,
        offset: Offset = 0,
    ) -> schema.ModelItems:
        wanted = Wanted(type, status, baseModel, trainingJobId, sort, order == "asc", limit, offset)
        return schema.ModelItems.of(wiring.model_listing().page(app.principal, wanted))

    @app.get(MODEL, security=READ, summary="Get a trained model")
    def get_trained_model(model_id: str) -> schema.ModelDetails:
        return schema.ModelDetails.of(wiring.model_listing().get(app.principal, model_id), app.base_url)

    @app.patch(MODEL, security=WRITE, summary="Change a model's name, description, tags or metadata")
    def update_trained_model(model_id: str, body: schema.UpdateModel) -> schema.ModelDetails:
        return schema.ModelDetails.of(wiring.models().update(app.principal, model_id, body.changes()), app.base_url)


def add_versions(app: Surface) -> None:
    @app.get(VERSIONS, security=READ, summary="List the versions of a model")
    def list_model_versions(model_id: str, limit: Limit = 50, offset: Offset = 0) -> schema.ModelVersions:
        page = wiring.model_versions().page(app.principal, model_id, limit=limit, offset=offset)
        return schema.ModelVersions.of(page, app.base_url)

    @app.post(VERSIONS, security=WRITE, summary="Make a job's model the next version of a model", status_code=201)
    def create_model_version(
        model_id: str,
        body: schema.AddVersion,
        idempotency_key: IdempotencyKey = None,
        retry_count: RetryCount = None,
    ) -> schema.ModelDetails:
        repetition = Repetition(idempotency_key, retry_count, app.name)
        added = wiring.model_versions().add(app.principal, model_id, **body.model_dump(), repetition=repetition)
        return schema.ModelDetails.of(added, app.base_url)

    @app.get(f"{VERSIONS}/<version>", security=READ, summary="Get a version of a model")
    def get_model_version(model_id: str, version: str) -> schema.ModelDetails:
        return schema.ModelDetails.of(wiring.model_versions().get(app.principal, model_id, version), app.base_url)


def add_retention(app: Surface) -> None:
    @app.post(f"{MODEL}/archive", security=WRITE, summary="Archive a model")
    def archive_model(model_id: str, body: schema.ArchiveModel | None = None) -> schema.ModelDetails:
        asked = (body or schema.ArchiveModel()).model_dump()
        return schema.ModelDetails.of(wiring.retention().archive(app.principal, model_id, **asked), app.base_url)

    @app.post(f"{MODEL}/restore", security=WRITE, summary="Restore an archived model")
    def restore_model(model_id: str) -> schema.ModelDetails:
        return schema.ModelDetails.of(wiring.retention().restore(app.principal, model_id), app.base_url)

    @app.delete(MODEL, security=WRITE, summary="Delete a model for good")
    def delete_trained_model(model_id: str) -> schema.ModelDeleted:
        return schema.ModelDeleted.of(wiring.retention().delete(app.principal, model_id))
