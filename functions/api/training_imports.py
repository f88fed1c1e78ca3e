"""Importing models that were trained elsewhere, on the training_models surface."""

from functions.api.app import Surface, needs
from functions.api.parameters import IdempotencyKey, RetryCount
from luthier import wiring
from luthier.idempotency import Repetition
from luthier.imports import schema

IMPORTS = "/v2/training/models/import"
IMPORT = f"{IMPORTS}/<import_id>"
READ, WRITE = needs("models:read"), needs("models:write")


def add_routes(app: Surface) -> None:
    @app.post(IMPORTS, security=WRITE, summary="Import an adapter or a merged model", status_code=201)
    def import_model(
        body: schema.ImportModel, idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None
    ) -> schema.ImportBegun:
        repetition = Repetition(idempotency_key, retry_count, app.name)
        begun = wiring.model_imports().create(app.principal, body.wish(), repetition)
        return schema.ImportBegun.with_uploads(begun, wiring.model_imports().uploads(begun))

    @app.post(f"{IMPORT}/complete", security=WRITE, summary="Check what was uploaded, or check a failed import again")
    def complete_import(import_id: str) -> schema.ImportObject:
        return schema.ImportObject.of(wiring.model_imports().complete(app.principal, import_id))

    @app.get(IMPORT, security=READ, summary="Get an import")
    def get_import(import_id: str) -> schema.ImportObject:
        return schema.ImportObject.of(wiring.model_imports().get(app.principal, import_id))
