"""OpenAI's fine-tuning contract: /v1/fine_tuning/jobs."""

import re
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.api import checkpoint_permissions
from functions.api.app import Surface, needs
from functions.api.error_shapes import openai as error_shape
from functions.api.parameters import After, IdempotencyKey, Limit, RetryCount
from luthier import wiring
from luthier.errors import InvalidRequest
from luthier.idempotency import Repetition
from luthier.jobs import openai_schema as schema
from luthier.jobs import openai_timeline as told

JOBS = "/v1/fine_tuning/jobs"
JOB = f"{JOBS}/<job_id>"
READ, WRITE = needs("fine-tuning:read"), needs("fine-tuning:write")
# OpenAI's words for fields that the domain calls otherwise.
FIELDS = {"trainingDataset": "training_file", "validationFile": "validation_file", "baseModel": "model"}
FIELDS |= {"maxCost": "cost.cap"}
_KEY = re.compile(r"metadata\[(.{1,64})\]")

ByMetadata = Annotated[
    str | None,
    Query(alias="metadata", description="metadata[key]=value: jobs that have it; null: those without metadata."),
]

# A checkpoint's name may hold slashes, as its base model's does.
_NAMES = re.compile(r"(?<=^/v1/fine_tuning/checkpoints/).+?(?=/permissions(?:/[^/]+)?/*$)")

app = Surface("openai_fine_tuning", error_shape, fields=FIELDS, slashed_ids=_NAMES)
handler = app.handle
checkpoint_permissions.add_routes(app)


@app.post(JOBS, security=WRITE, summary="Create a fine-tuning job")
def create_fine_tuning_job(
    body: schema.CreateFineTuningJob, idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None
) -> schema.JobObject:
    job = wiring.jobs().create(
        app.principal, body.request(), route=app.name, idempotency_key=idempotency_key, retry_count=retry_count
    )
    return schema.JobObject.of(job)


@app.get(JOBS, security=READ, summary="List fine-tuning jobs, newest first")
def list_fine_tuning_jobs(limit: Limit = 20, after: After = None, metadata: ByMetadata = None) -> schema.JobObjects:
    sent = app.current_event.query_string_parameters or {}
    wanted = {found[1]: value for name, value in sent.items() if (found := _KEY.fullmatch(name))}
    if metadata not in (None, "null"):
        message = f"metadata is {metadata!r}."
        raise InvalidRequest(message, param="metadata", remedy="Send metadata[key]=value, or metadata=null.")
    jobs = wiring.jobs().newest(app.principal, limit=limit, after=after, metadata=wanted, bare=metadata is not None)
    return schema.JobObjects.of(*jobs)


@app.get(JOB, security=READ, summary="Get a fine-tuning job")
def retrieve_fine_tuning_job(job_id: str) -> schema.JobObject:
    return schema.JobObject.of(wiring.jobs().get(app.principal, job_id))


@app.post(f"{JOB}/cancel", security=WRITE, summary="Cancel a fine-tuning job")
def cancel_fine_tuning_job(job_id: str) -> schema.JobObject:
    return schema.JobObject.of(wiring.jobs().stop(app.principal, job_id))


@app.post(f"{JOB}/pause", security=WRITE, summary="Let a fine-tuning job rest after a checkpoint")
def pause_fine_tuning_job(job_id: str) -> schema.JobObject:
    return schema.JobObject.of(wiring.jobs().pause(app.principal, job_id))


@app.post(f"{JOB}/resume", security=WRITE, summary="Let a paused fine-tuning job go on")
def resume_fine_tuning_job(job_id: str, body: schema.ResumeJob | None = None) -> schema.JobObject:
    cap = body.cost.cap if body and body.cost else None
    return schema.JobObject.of(wiring.jobs().resume(app.principal, job_id, max_cost=cap))


@app.post(
    f"{JOB}/retry", security=WRITE, summary="Try a failed fine-tuning job again, as its failure suggests or as it is"
)
def retry_fine_tuning_job(job_id: str, body: schema.RetryJob | None = None) -> schema.JobObject:
    apply_suggestion = body.apply_suggestion if body else False
    return schema.JobObject.of(wiring.jobs().retry(app.principal, job_id, apply_suggestion=apply_suggestion))


@app.get(f"{JOB}/manifest", security=READ, summary="What determines a fine-tuning job's run, signed")
def get_fine_tuning_manifest(job_id: str) -> schema.SignedManifest:
    return schema.SignedManifest.of(*wiring.reruns().manifest(app.principal, job_id))


@app.post(f"{JOB}/rerun", security=WRITE, summary="Make a run again as its manifest determines it")
def rerun_fine_tuning_job(
    job_id: str,
    body: schema.RerunJob | None = None,
    idempotency_key: IdempotencyKey = None,
    retry_count: RetryCount = None,
) -> schema.JobObject:
    repetition = Repetition(idempotency_key, retry_count, app.name)
    job = wiring.reruns().rerun(app.principal, job_id, signed=body.signed if body else None, repetition=repetition)
    return schema.JobObject.of(job)


@app.post(f"{JOB}/start", security=WRITE, summary="Start a job that was created with auto_start false")
def start_fine_tuning_job(job_id: str) -> schema.JobObject:
    return schema.JobObject.of(wiring.jobs().start(app.principal, job_id))


@app.get(f"{JOB}/events", security=READ, summary="What has happened to a fine-tuning job, newest first")
def list_fine_tuning_events(job_id: str, limit: Limit = 20, after: After = None) -> told.JobEvents:
    page = wiring.jobs().timeline(app.principal, job_id, limit=limit, after=after)
    return told.JobEvents.of(*page)


@app.get(f"{JOB}/checkpoints", security=READ, summary="What a fine-tuning job has saved on its way, newest first")
def list_fine_tuning_checkpoints(job_id: str, limit: Limit = 10, after: After = None) -> told.JobCheckpoints:
    return told.JobCheckpoints.of(*wiring.jobs().checkpoints(app.principal, job_id, limit=limit, after=after))
