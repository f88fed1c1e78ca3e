"""Asking a deployment without waiting, under both documented paths of the endpoints surface."""

from functions.api.app import Surface, needs
from functions.api.parameters import IdempotencyKey, RetryCount
from luthier import wiring
from luthier.batches import run_schema as schema
from luthier.idempotency import Repetition

SHORT, LONG = "/v2/<endpoint_id>", "/v2/endpoints/<endpoint_id>"
INFER = needs("inference:write")


def add_routes(app: Surface) -> None:
    @app.post(
        f"{SHORT}/runasync", security=INFER, summary="Ask a deployment and fetch the answer later", status_code=202
    )
    def run_endpoint_async(
        endpoint_id: str,
        body: schema.RunAsync,
        idempotency_key: IdempotencyKey = None,
        retry_count: RetryCount = None,
    ) -> schema.RunStatus:
        made = wiring.batches().run(
            app.principal,
            endpoint_id,
            body.input.for_engine(endpoint_id),
            callback_url=body.callback_url,
            priority=body.priority,
            tags=body.tags,
            repetition=Repetition(idempotency_key, retry_count, app.name),
        )
        return schema.RunStatus.of(made)

    @app.post(f"{LONG}/runasync", security=INFER, summary="The same under the longer path", status_code=202)
    def run_endpoint_of_list_async(
        endpoint_id: str,
        body: schema.RunAsync,
        idempotency_key: IdempotencyKey = None,
        retry_count: RetryCount = None,
    ) -> schema.RunStatus:
        return run_endpoint_async(endpoint_id, body, idempotency_key, retry_count)

    @app.get(f"{SHORT}/status/<run_id>", security=INFER, summary="Get a run, and its answer once there is one")
    def get_run(endpoint_id: str, run_id: str) -> schema.RunStatus:
        run = wiring.batches().run_of(app.principal, endpoint_id, run_id)
        return schema.RunStatus.of(run, wiring.batches().results(run)[0])

    @app.get(f"{LONG}/status/<run_id>", security=INFER, summary="The same under the longer path")
    def get_run_of_list(endpoint_id: str, run_id: str) -> schema.RunStatus:
        return get_run(endpoint_id, run_id)

    @app.post(f"{SHORT}/cancel/<run_id>", security=INFER, summary="Cancel a run that has not begun")
    def cancel_run(endpoint_id: str, run_id: str) -> schema.RunStatus:
        run = wiring.batches().cancel_run(app.principal, endpoint_id, run_id)
        return schema.RunStatus.of(run, wiring.batches().results(run)[0])

    @app.post(f"{LONG}/cancel/<run_id>", security=INFER, summary="The same under the longer path")
    def cancel_run_of_list(endpoint_id: str, run_id: str) -> schema.RunStatus:
        return cancel_run(endpoint_id, run_id)
