"""Wire shapes of what has happened to a job in OpenAI's words, events and checkpoints; times are in Unix seconds."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from luthier import clock
from luthier.jobs.checkpoints import Checkpoint
from luthier.jobs.timeline import Moment, numbers
from luthier.wire import Answer

# Of a checkpoint.
_METRICS = ("step", "train_loss", "train_mean_token_accuracy", "full_valid_loss", "full_valid_mean_token_accuracy",
            "valid_loss", "valid_mean_token_accuracy")  # fmt: skip


class JobEvent(Answer):
    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any]


class JobEvents(Answer):
    object: Literal["list"] = "list"
    data: list[JobEvent]
    has_more: bool

    @classmethod
    def of(cls, moments: Sequence[Moment], has_more: bool) -> Self:
        data = [JobEvent(**vars(one) | {"created_at": clock.epoch(one.created_at)}) for one in moments]
        return cls(data=data, has_more=has_more)


class JobCheckpoint(Answer):
    """`fine_tuned_model_checkpoint` is a model's name once the checkpoint was imported as one."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    step_number: int
    metrics: dict[str, float | None]

    @classmethod
    def of(cls, checkpoint: Checkpoint, line: dict[str, Any]) -> Self:
        known = numbers(line) | {"step": checkpoint.step}
        return cls(
            id=checkpoint.id,
            created_at=clock.epoch(checkpoint.created_at),
            fine_tuned_model_checkpoint=checkpoint.name,
            fine_tuning_job_id=checkpoint.job.id,
            step_number=checkpoint.step,
            metrics={name: known.get(name) for name in _METRICS},
        )


class JobCheckpoints(Answer):
    object: Literal["list"] = "list"
    data: list[JobCheckpoint]
    has_more: bool
    first_id: str | None
    last_id: str | None

    @classmethod
    def of(cls, found: Sequence[tuple[Checkpoint, dict[str, Any]]], has_more: bool) -> Self:
        data = [JobCheckpoint.of(*one) for one in found]
        first_id, last_id = (data[0].id, data[-1].id) if data else (None, None)
        return cls(data=data, has_more=has_more, first_id=first_id, last_id=last_id)
