"""The fine_tuning surface: /api/v1/fine-tuning/*. Bare camelCase answers."""

from typing import Annotated

from aws_lambda_powertools.event_handler.api_gateway import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.api.app import Surface, needs
from functions.api.error_shapes import fine_tuning as error_shape
from functions.api.parameters import NO_CONTENT, IdempotencyKey, Limit, RetryCount
from luthier import wiring
from luthier.catalog import schema as catalog_schema
from luthier.catalog import service as catalog
from luthier.jobs import schema
from luthier.jobs.entity import JobRequest
from luthier.jobs.logs import MAX_LINES
from luthier.wire import LONGEST_NAME

ROOT = "/api/v1/fine-tuning"
JOBS = f"{ROOT}/jobs"
JOB = f"{JOBS}/<job_id>"
READ, WRITE = needs("fine-tuning:read"), needs("fine-tuning:write")

Text = Annotated[str | None, Query(max_length=LONGEST_NAME)]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="Jobs to skip.")]
Sort = Annotated[str | None, Query(description="<field>:asc or <field>:desc, for example createdAt:desc.")]
Lines = Annotated[int, Query(ge=1, le=MAX_LINES, description="How many of the last lines to return.")]
Since = Annotated[str | None, Query(description="ISO 8601 time; only later lines are returned.")]
MaxCost = Annotated[float | None, Query(ge=schema.LEAST_COST, le=schema.MOST_COST, description=schema.NEW_CAP)]
FromScratch = Annotated[bool, Query(description="Train from the start, not from the last checkpoint.")]

app = Surface("fine_tuning", error_shape)
handler = app.handle


@app.get(JOBS, security=READ, summary="List jobs")
def list_jobs(
    status: Text = None,
    baseModel: Text = None,
    search: Text = None,
    limit: Limit = 20,
    offset: Offset = 0,
    sort: Sort = None,
) -> schema.JobPage:
    page = wiring.jobs().list(
        app.principal,
        status=status,
        base_model=baseModel,
        search=search,
        limit=limit,
        offset=offset,
        sort=sort,
        paused_is_stopped=True,
    )
    return schema.JobPage.of(page)


@app.post(JOBS, security=WRITE, summary="Create a job", status_code=201)
def create_job(
    body: schema.CreateJob, idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None
) -> schema.JobCreated:
    request = JobRequest(**body.model_dump())
    job = wiring.jobs().create(
        app.principal, request, route=app.name, idempotency_key=idempotency_key, retry_count=retry_count
    )
    return schema.JobCreated.of(job)


@app.get(JOB, security=READ, summary="Get a job")
def get_job(job_id: str) -> schema.FineTuningJob:
    return schema.FineTuningJob.of(wiring.jobs().get(app.principal, job_id))


@app.delete(JOB, security=WRITE, summary="Delete a job", responses=NO_CONTENT)
def delete_job(job_id: str) -> Response[None]:
    wiring.jobs().delete(app.principal, job_id)
    return Response(204)


@app.post(f"{JOB}/stop", security=WRITE, summary="Stop a job")
def stop_job(job_id: str) -> schema.JobChanged:
    job = wiring.jobs().stop(app.principal, job_id)
    return schema.JobChanged.of(job, "Fine-tuning job stopped successfully")


@app.post(f"{JOB}/restart", security=WRITE, summary="Restart a stopped or failed job")
def restart_job(job_id: str, fromScratch: FromScratch = False, maxCost: MaxCost = None) -> schema.JobChanged:
    job = wiring.jobs().restart(app.principal, job_id, from_scratch=fromScratch, max_cost=maxCost)
    return schema.JobChanged.of(job, "Fine-tuning job restarted successfully")


# The page asks for fine-tuning:write here. models:write, for any model by name, is the training_models surface's.
@app.post(f"{JOB}/deploy", security=WRITE, summary="Deploy the model of a completed job")
def deploy_job(job_id: str) -> schema.JobDeployed:
    return schema.JobDeployed.of(job_id, wiring.deployments().deploy_job(app.principal, job_id))


@app.get(f"{JOB}/logs", security=READ, summary="Read the training log")
def get_logs(job_id: str, lines: Lines = 100, since: Since = None) -> schema.JobLogs:
    logs = wiring.jobs().logs(app.principal, job_id, lines=lines, since=since)
    return schema.JobLogs.model_validate({"job_id": job_id, "logs": logs})


@app.get(f"{JOB}/metrics", security=READ, summary="Read loss curves and results")
def get_metrics(job_id: str) -> schema.JobMetrics:
    return schema.JobMetrics.of(*wiring.jobs().metrics(app.principal, job_id))


@app.get(f"{ROOT}/stats", security=READ, summary="Count the organization's jobs")
def get_stats() -> schema.JobCounts:
    return schema.JobCounts.of(wiring.jobs().stats(app.principal))


@app.get(f"{ROOT}/base-models", security=READ, summary="List base models")
def list_base_models() -> catalog_schema.BaseModels:
    return catalog_schema.BaseModels.of(catalog.base_models())


@app.get(f"{ROOT}/hardware", security=READ, summary="List hardware with prices")
def list_hardware() -> catalog_schema.HardwareRows:
    return catalog_schema.HardwareRows.of(catalog.hardware())


@app.post(f"{ROOT}/estimate-cost", security=READ, summary="Estimate cost and time")
def estimate_cost(body: schema.EstimateCost) -> schema.CostEstimate:
    return schema.CostEstimate.of(body, wiring.jobs().estimate(app.principal, **body.model_dump()))
