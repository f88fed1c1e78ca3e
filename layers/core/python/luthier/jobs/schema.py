"""Wire shapes of the fine_tuning surface: camelCase, ISO 8601 UTC with `Z`.

The keys of the documented objects come first and in their order; what Luthier adds follows them.
`status` is one of five: a job that is preparing shows as queued, one that is stopping or paused as stopped (`phase`
and `statusReason` say more).
"""

from math import ceil
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from luthier.catalog.entity import Estimate
from luthier.deployments.entity import ACTIVE, Deployment
from luthier.jobs import hyperparameters
from luthier.jobs.curve import Curve
from luthier.jobs.entity import EVALUATION, PAUSED, PAUSING, SHOWN, STOPPED, Export, Job
from luthier.jobs.hyperparameters import METHODS
from luthier.jobs.listing import Page
from luthier.jobs.store import Counts
from luthier.wire import LONGEST_NAME, CamelAnswer, CamelRequest

_DEPLOY_MESSAGES = {
    "deployed": "Fine-tuned model deployed successfully",
    "deploying": "Fine-tuned model is being deployed; repeat this request to see when it is deployed",
}

Status = Literal["queued", "running", "completed", "failed", "stopped"]
_FIVE = SHOWN | {PAUSING: STOPPED, PAUSED: STOPPED}
Reference = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Exports = list[Export]
# A cent at least; what is larger than any bill is a slip of the keyboard.
LEAST_COST, MOST_COST = 0.01, 10_000_000
EXPORTED = "Formats in which the model is left beside its adapter."
AUTO_RESOLVED = 'The hyperparameters that "auto" stood for; their values are among the others.'
CONTINUED = "The model whose adapter the job goes on from."
ENDED = "How the run ended: completed, early_stopped, max_seconds, max_cost or stopped; null until it says so."
BASE_MODEL = "An id of GET base-models, or a finished model of your own, whose adapter is trained on."
CAP = "The run pauses before it costs more, in the currency of the estimate."
NEW_CAP = "The new cap; it covers all attempts together."
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Evaluation(CamelRequest):
    """What is judged at the end, besides the loss: answers to held-out rows against their references."""

    generate: bool = True
    max_examples: int = Field(default=EVALUATION["max_examples"], ge=1, le=10_000)
    max_new_tokens: int = Field(default=EVALUATION["max_new_tokens"], ge=1, le=4_096)


class CreateJob(CamelRequest):
    name: str = Field(min_length=1, max_length=200, description="Human-readable job name.")
    base_model: Reference = Field(description=BASE_MODEL)
    training_dataset: Reference = Field(description="Id, path or filename of an uploaded training file.")
    # Lists read it for every job, so it stays short.
    description: str | None = Field(default=None, max_length=512)
    validation_file: Reference | None = Field(default=None, description="As trainingDataset; it is not trained on.")
    hyperparameters: dict[str, Any] | None = Field(
        default=None,
        description="; ".join(
            f"{row.wire}: {row.rule}, default {row.default}" for row in hyperparameters.HYPERPARAMETERS
        ),
    )
    suffix: str | None = Field(
        default=None,
        max_length=64,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Appended to the name of the resulting model; the job's short id by default.",
    )
    hardware: str | None = Field(default=None, description="An id of GET hardware; by default the base model's.")
    method: str = Field(default="sft", description=f"How to train: {', '.join(METHODS)}.")
    exports: Exports = Field(default=[], description=EXPORTED)
    evaluation: Evaluation | None = None
    max_cost: float | None = Field(default=None, ge=LEAST_COST, le=MOST_COST, description=CAP)


class JobCreated(CamelAnswer):
    id: str
    name: str
    base_model: str
    status: Status
    created_at: Moment

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls.model_validate(_facts(job))


class JobRow(CamelAnswer):
    """A job as lists show it."""

    id: str
    name: str
    base_model: str
    status: Status
    description: str | None
    owner: str
    organization_id: str
    trained_tokens: int | None
    started_at: Moment | None
    finished_at: Moment | None
    created_at: Moment
    updated_at: Moment

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        return cls.model_validate(row | {"status": _FIVE.get(row["status"], row["status"])})


class JobPage(CamelAnswer):
    """`count` is the number of all matches, not of this page."""

    count: int
    limit: int
    offset: int
    jobs: list[JobRow]

    @classmethod
    def of(cls, page: Page) -> Self:
        return cls(count=page.count, limit=page.limit, offset=page.offset, jobs=[JobRow.of(row) for row in page.rows])


class Suggestion(CamelAnswer):
    hyperparameters: dict[str, hyperparameters.Value]


class StatusReason(CamelAnswer):
    code: str
    message: str
    hint: str | None = None
    evidence: list[str] | None = Field(default=None, description="What the run had said just before.")
    suggestion: Suggestion | None = Field(default=None, description="What to change, if the run could tell.")


class JobLoss(CamelAnswer):
    training_loss: float | None = None
    validation_loss: float | None = None
    epoch: int | None = None


class Progress(CamelAnswer):
    percent: float | None = None
    step: int | None = None
    total_steps: int | None = None
    seconds_remaining: float | None = None


class Cost(CamelAnswer):
    """Money in `currency`; `cap` null = no cap. `accrued` grows while a run reports, and is exact once it has ended."""

    estimate: float | None = None
    accrued: float | None = None
    cap: float | None = None
    currency: str = "USD"


class Resumable(CamelAnswer):
    value: bool
    reason: str | None = None
    from_checkpoint: str | int | None = None


class EvaluationPlan(CamelAnswer):
    generate: bool
    max_examples: int
    max_new_tokens: int


class FineTuningJob(CamelAnswer):
    id: str
    name: str
    base_model: str
    status: Status
    description: str | None
    owner: str
    organization_id: str
    training_dataset: str
    training_file: str
    validation_file: str | None
    hyperparameters: dict[str, hyperparameters.Value]
    result_model: str | None
    trained_tokens: int | None
    error: StatusReason | None
    metrics: JobLoss
    started_at: Moment | None
    finished_at: Moment | None
    created_at: Moment
    updated_at: Moment
    phase: str | None
    status_reason: StatusReason | None
    progress: Progress | None
    cost: Cost
    resumable: Resumable | None
    attempt: int
    hardware: str
    method: str
    auto_hyperparameters: list[str] = Field(description=AUTO_RESOLVED)
    start_from: str | None = Field(description=CONTINUED)
    exports: list[str]
    evaluation: EvaluationPlan
    ended: str | None = Field(description=ENDED)

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls.model_validate(
            _facts(job)
            | resolved(job)
            | {
                "error": job.status_reason if job.status == "failed" else None,
                "metrics": _whole_epoch(job.metrics or {}),
            }
        )


class JobChanged(CamelAnswer):
    """The answer of stop and restart."""

    id: str
    status: Status
    message: str

    @classmethod
    def of(cls, job: Job, message: str) -> Self:
        return cls.model_validate(_facts(job) | {"message": message})


class JobDeployed(CamelAnswer):
    """`status` is `deploying` until it is proven that the model answers, then `deployed`."""

    id: str
    result_model: str
    status: Literal["deploying", "deployed"]
    message: str

    @classmethod
    def of(cls, job_id: str, deployment: Deployment) -> Self:
        status = "deployed" if deployment.status == ACTIVE else "deploying"
        told = {"id": job_id, "result_model": deployment.model_name, "status": status}
        return cls.model_validate(told | {"message": _DEPLOY_MESSAGES[status]})


class LogLine(CamelAnswer):
    timestamp: Moment
    level: str
    message: str


class JobLogs(CamelAnswer):
    job_id: str
    logs: list[LogLine]


class MetricsStep(CamelAnswer):
    step: int
    training_loss: float | None
    validation_loss: float | None
    learning_rate: float | None


class Metrics(CamelAnswer):
    training_loss: float | None
    validation_loss: float | None
    current_epoch: int | None = Field(description="The epoch at work, counted from 1.")
    total_epochs: int | None
    trained_tokens: int | None
    steps: list[MetricsStep]


class JobMetrics(CamelAnswer):
    """Null until the trainer has written a value; the last values stay after the end."""

    job_id: str
    metrics: Metrics

    @classmethod
    def of(cls, job: Job, curve: Curve | None) -> Self:
        latest = curve.latest if curve else job.metrics or {}
        return cls(
            job_id=job.id,
            metrics=Metrics(
                training_loss=latest.get("training_loss"),
                validation_loss=latest.get("validation_loss"),
                current_epoch=_whole_epoch(latest).get("epoch"),
                total_epochs=job.hyperparameters["epochs"],
                trained_tokens=curve.trained_tokens if curve else job.trained_tokens,
                steps=[MetricsStep.model_validate(step) for step in (curve.steps if curve else [])],
            ),
        )


class JobCounts(CamelAnswer):
    """Jobs of the organization. Stopped and paused jobs count in `total` and share a key of their own."""

    total: int
    running: int
    completed: int
    failed: int
    queued: int
    stopped: int

    @classmethod
    def of(cls, counts: Counts) -> Self:
        known = dict.fromkeys(("running", "completed", "failed", "queued", "stopped"), 0)
        numbers = known | counts.by_status
        numbers["stopped"] += numbers.pop("paused", 0)
        return cls(total=counts.total, **numbers)


class EstimateCost(CamelRequest):
    base_model: Reference = Field(description="An id of GET base-models.")
    dataset_size: int = Field(ge=1, le=1_000_000_000, description="Number of training examples.")
    hardware: str | None = Field(default=None, description="An id of GET hardware.")


class CostEstimate(CamelAnswer):
    base_model: str
    dataset_size: int
    estimated_cost: float
    estimated_time_minutes: int
    currency: str
    hardware: str
    basis: dict[str, Any] = Field(description="Every number that the estimate rests on, and where it comes from.")

    @classmethod
    def of(cls, asked: EstimateCost, estimate: Estimate) -> Self:
        return cls(
            base_model=asked.base_model,
            dataset_size=asked.dataset_size,
            estimated_cost=round(estimate.cost, 2),
            estimated_time_minutes=ceil(estimate.seconds / 60),
            currency=estimate.currency,
            hardware=estimate.hardware.id,
            basis=estimate.basis,
        )


def resolved(job: Job) -> dict[str, Any]:
    """What a job trains with and from, and what it costs, as both surfaces show it."""
    return {
        "cost": job.cost_so_far,
        "hyperparameters": hyperparameters.to_wire(job.hyperparameters),
        "auto_hyperparameters": [hyperparameters.wire_of(name) for name in job.auto],
        "start_from": job.start_from["model"] if job.start_from else None,
        "evaluation": job.evaluation,
    }


def _facts(job: Job) -> dict[str, Any]:
    """The job's fields with the status that this surface shows."""
    return vars(job) | {"status": _FIVE.get(job.status, job.status)}


def _whole_epoch(metrics: dict[str, Any]) -> dict[str, Any]:
    """The trainer counts epochs in fractions; the documented objects name the one at work."""
    return metrics | {"epoch": ceil(metrics["epoch"])} if metrics.get("epoch") is not None else metrics
