"""Asking a deployment without waiting, and how it is, under both documented paths of the endpoints surface."""

from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.api.app import Surface, needs
from functions.api.parameters import IdempotencyKey, RetryCount
from luthier import wiring
from luthier.batches import run_schema as schema
from luthier.deployments.health_schema import EndpointHealth
from luthier.idempotency import Repetition

Check = Annotated[
    Literal["basic", "detailed", "deep"], Query(description="deep asks the model, and so wakes it where it sleeps.")
]
Seconds = Annotated[int, Query(ge=1, le=30, description="How long a deep check waits; 25 at most.")]
Include = Annotated[list[Literal["dependencies", "resources", "connectivity"]] | None, Query()]

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

    @app.get(f"{SHORT}/health", security=INFER, summary="Check how a deployment is")
    def check_endpoint(
        endpoint_id: str, check: Check = "basic", timeout: Seconds = 10, include: Include = None
    ) -> EndpointHealth:
        health = wiring.health().check(app.principal, endpoint_id, depth=check, seconds=timeout)
        return EndpointHealth.of(health, include or [])

    @app.get(f"{LONG}/health", security=INFER, summary="The same under the longer path")
    def check_endpoint_of_list(
        endpoint_id: str, check: Check = "basic", timeout: Seconds = 10, include: Include = None
    ) -> EndpointHealth:
        return check_endpoint(endpoint_id, check, timeout, include)
