"""The tuning surface: /v1/fine-tune and inference. Bare camelCase answers."""

import re

from functions.api import tuning_batches
from functions.api.app import Surface, needs
from functions.api.error_shapes import tuning as error_shape
from functions.api.parameters import IdempotencyKey, RetryCount
from luthier import wiring
from luthier.inference import tuning_schema as inference
from luthier.jobs import tuning_schema as schema

JOBS = "/v1/fine-tune"
JOB = f"{JOBS}/<job_id>"
READ, WRITE, INFER = needs("fine-tuning:read"), needs("fine-tuning:write"), needs("inference:write")

# This surface's words for fields that the domain calls otherwise.
FIELDS = {"trainingDataset": "dataset", "method": "trainingMethod"}

app = Surface("tuning", error_shape, fields=FIELDS, slashed_ids=re.compile(r"(?<=^/v1/models/).+?(?=/inference/*$)"))
handler = app.handle
tuning_batches.add_routes(app)


@app.post(JOBS, security=WRITE, summary="Start a fine-tune", status_code=201)
def start_fine_tune(
    body: schema.FineTune, idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None
) -> schema.FineTuneStarted:
    job = wiring.jobs().create(
        app.principal, body.request(), route=app.name, idempotency_key=idempotency_key, retry_count=retry_count
    )
    return schema.FineTuneStarted.of(job)


@app.get(JOB, security=READ, summary="Get a fine-tune's status, metrics and errors")
def get_fine_tune(job_id: str) -> schema.FineTuneStatus:
    return schema.FineTuneStatus.of(wiring.jobs().get(app.principal, job_id))


@app.post(f"{JOB}/pause", security=WRITE, summary="Let a fine-tune rest after a checkpoint")
def pause_fine_tune(job_id: str) -> schema.FineTuneStatus:
    return schema.FineTuneStatus.of(wiring.jobs().pause(app.principal, job_id))


@app.post(f"{JOB}/resume", security=WRITE, summary="Let a paused fine-tune go on, with a higher cap if need be")
def resume_fine_tune(job_id: str, body: schema.Resume | None = None) -> schema.FineTuneStatus:
    max_cost = body.max_cost if body else None
    return schema.FineTuneStatus.of(wiring.jobs().resume(app.principal, job_id, max_cost=max_cost))


@app.post(f"{JOB}/stop", security=WRITE, summary="End a fine-tune after a checkpoint")
def stop_fine_tune(job_id: str) -> schema.FineTuneStatus:
    return schema.FineTuneStatus.of(wiring.jobs().stop(app.principal, job_id))


@app.post("/v1/models/<model_id>/inference", security=INFER, summary="Ask a deployed model")
def run_inference(model_id: str, body: inference.Inference) -> inference.Inferred:
    answered = wiring.inference().ask(app.principal, body.for_engine(model_id))
    app.say_who(answered.by)
    return inference.Inferred.of(answered, body.metadata)


@app.post("/v1/playground/inference", security=INFER, summary="Ask any deployed model by its name in the body")
def run_playground_inference(body: inference.PlaygroundInference) -> inference.Inferred:
    return run_inference(body.model_id, body)
