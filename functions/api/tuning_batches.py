"""Batches of up to 100 requests, on the tuning surface."""

from functions.api.app import Surface, needs
from functions.api.parameters import IdempotencyKey, RetryCount
from luthier import wiring
from luthier.batches import tuning_schema as schema
from luthier.batches.entity import REQUESTS
from luthier.idempotency import Repetition

BATCHES = "/v1/batch/inference"
BATCH = f"{BATCHES}/<batch_id>"
INFER = needs("inference:write")


def add_routes(app: Surface) -> None:
    @app.post(BATCHES, security=INFER, summary="Submit up to 100 inference requests", status_code=202)
    def submit_batch(
        body: schema.BatchInference, idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None
    ) -> schema.BatchAccepted:
        repetition = Repetition(idempotency_key, retry_count, app.name)
        made = wiring.batches().ask_all(
            app.principal, body.model_id, body.of_batch(), callback_url=body.webhook_url, repetition=repetition
        )
        return schema.BatchAccepted.of(made)

    @app.get(BATCH, security=INFER, summary="Get a batch, and its results once it has ended")
    def get_batch_results(batch_id: str) -> schema.BatchStatus:
        batch = wiring.batches().get(app.principal, batch_id, REQUESTS)
        return schema.BatchStatus.of(batch, *wiring.batches().results(batch))

    @app.post(f"{BATCH}/cancel", security=INFER, summary="Let nothing more of a batch begin")
    def cancel_batch_inference(batch_id: str) -> schema.BatchStatus:
        batch = wiring.batches().cancel(app.principal, batch_id, REQUESTS)
        return schema.BatchStatus.of(batch, *wiring.batches().results(batch))
