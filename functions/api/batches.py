"""Batches of requests in uploaded files, on the openai surface."""

from functions.api.app import Surface, needs
from functions.api.parameters import After, IdempotencyKey, Limit, RetryCount
from luthier import wiring
from luthier.batches import schema
from luthier.batches.entity import FILE
from luthier.idempotency import Repetition

BATCHES = "/v1/batches"
BATCH = f"{BATCHES}/<batch_id>"
INFER = needs("inference:write")


def add_routes(app: Surface) -> None:
    @app.post(BATCHES, security=INFER, summary="Answer the requests in a file")
    def create_batch(
        body: schema.CreateBatch, idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None
    ) -> schema.BatchObject:
        repetition = Repetition(idempotency_key, retry_count, app.name)
        made = wiring.batches().ask_file(
            app.principal, body.input_file_id, body.endpoint, metadata=body.metadata, repetition=repetition
        )
        return schema.BatchObject.of(made)

    @app.get(BATCHES, security=INFER, summary="List batches of files")
    def list_batches(limit: Limit = 20, after: After = None) -> schema.BatchList:
        return schema.BatchList.of(*wiring.batches().page(app.principal, limit=limit, after=after))

    @app.get(BATCH, security=INFER, summary="Get a batch of a file")
    def get_batch(batch_id: str) -> schema.BatchObject:
        return schema.BatchObject.of(wiring.batches().get(app.principal, batch_id, FILE))

    @app.post(f"{BATCH}/cancel", security=INFER, summary="Let nothing more of a batch begin")
    def cancel_batch(batch_id: str) -> schema.BatchObject:
        return schema.BatchObject.of(wiring.batches().cancel(app.principal, batch_id, FILE))
