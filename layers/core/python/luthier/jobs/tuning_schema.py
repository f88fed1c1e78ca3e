"""Wire shapes of the tuning surface: camelCase, ISO 8601 UTC with `Z`. `status` is the job's own, `paused` included."""

from typing import Any, Literal, Self

from pydantic import Field

from luthier import clock
from luthier.jobs import hyperparameters
from luthier.jobs.entity import Job, JobRequest
from luthier.jobs.schema import (
    AUTO_RESOLVED,
    CAP,
    CONTINUED,
    ENDED,
    EXPORTED,
    LEAST_COST,
    MOST_COST,
    NEW_CAP,
    Cost,
    Evaluation,
    EvaluationPlan,
    Exports,
    Moment,
    Progress,
    Reference,
    Resumable,
    StatusReason,
    resolved,
)
from luthier.webhooks.address import LONGEST_URL
from luthier.wire import CamelAnswer, CamelRequest

Status = Literal["queued", "running", "paused", "completed", "failed", "stopped"]
Method = Literal["sft", "dpo", "orpo", "kto"]


class FineTune(CamelRequest):
    base_model: Reference = Field(description="An id, alias or hub id of a base model, or your own finished model.")
    dataset: str = Field(
        min_length=1,
        max_length=LONGEST_URL,
        description="An uploaded file's id or name, or the s3:// or https:// address of a JSONL file.",
    )
    training_method: Method = Field(default="sft", description="How to train; each method has its own columns.")
    hyperparameters: dict[str, Any] | None = Field(
        default=None, description="learningRate, epochs, batchSize and those of POST /api/v1/fine-tuning/jobs."
    )
    exports: Exports = Field(default=[], description=EXPORTED)
    evaluation: Evaluation | None = None
    webhook_url: str | None = Field(
        default=None,
        min_length=1,
        max_length=LONGEST_URL,
        description="Public https:// address that hears of this job's events.",
    )
    max_cost: float | None = Field(default=None, ge=LEAST_COST, le=MOST_COST, description=CAP)
    name: str | None = Field(default=None, min_length=1, max_length=200)
    suffix: str | None = Field(default=None, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")

    def request(self) -> JobRequest:
        """The job that is asked for."""
        return JobRequest(
            name=self.name or f"Fine-tune of {self.base_model}"[:200],
            base_model=self.base_model,
            training_dataset=self.dataset,
            hyperparameters=self.hyperparameters,
            method=self.training_method,
            exports=list(self.exports),
            evaluation=self.evaluation.model_dump() if self.evaluation else None,
            suffix=self.suffix,
            max_cost=self.max_cost,
            webhook_url=self.webhook_url,
        )


class Resume(CamelRequest):
    max_cost: float | None = Field(default=None, ge=LEAST_COST, le=MOST_COST, description=NEW_CAP)


class FineTuneStarted(CamelAnswer):
    job_id: str
    status: Status
    base_model: str
    created_at: Moment

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls.model_validate(vars(job) | {"job_id": job.id, "status": job.shown_status})


class RunMetrics(CamelAnswer):
    """Null until the trainer has reported a value; the last values stay after the end."""

    loss: float | None
    eval_loss: float | None
    epoch: float | None
    tokens: int | None
    duration_seconds: int | None = Field(description="From the first training step to the end.")

    @classmethod
    def of(cls, job: Job) -> Self:
        known = job.metrics or {}
        return cls(
            loss=known.get("training_loss"),
            eval_loss=known.get("validation_loss"),
            epoch=known.get("epoch"),
            tokens=job.trained_tokens,
            duration_seconds=_seconds(job),
        )


class FineTuneStatus(CamelAnswer):
    """A job as this surface shows it. `artifact` names the model it has yielded; `error` is null unless it failed."""

    job_id: str
    status: Status
    base_model: str
    created_at: Moment
    training_method: str
    dataset: str
    hyperparameters: dict[str, hyperparameters.Value]
    webhook_url: str | None
    progress: Progress | None
    metrics: RunMetrics
    artifact: str | None
    error: StatusReason | None
    phase: str | None
    status_reason: StatusReason | None
    cost: Cost
    resumable: Resumable | None
    attempt: int
    auto_hyperparameters: list[str] = Field(description=AUTO_RESOLVED)
    start_from: str | None = Field(description=CONTINUED)
    exports: list[str]
    evaluation: EvaluationPlan
    ended: str | None = Field(description=ENDED)
    started_at: Moment | None
    completed_at: Moment | None
    updated_at: Moment

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls.model_validate(
            vars(job)
            | resolved(job)
            | {
                "job_id": job.id,
                "status": job.shown_status,
                "training_method": job.method,
                "dataset": job.training_dataset,
                "metrics": RunMetrics.of(job),
                "artifact": job.result_model,
                "error": job.status_reason if job.status == "failed" else None,
                "completed_at": job.finished_at,
            }
        )


def _seconds(job: Job) -> int | None:
    if not job.started_at or not job.finished_at:
        return None
    return clock.epoch(job.finished_at) - clock.epoch(job.started_at)
