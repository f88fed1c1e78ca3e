"""What has happened to a job, told from its record and from the lines of its metrics. Pure."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from luthier.jobs import entity
from luthier.jobs.entity import Job

INFO, WARN, ERROR = "info", "warn", "error"
MESSAGE, METRICS = "message", "metrics"
# The trainer's name of a number → OpenAI's.
_NUMBERS = {
    "step": "step",
    "total_steps": "total_steps",
    "training_loss": "train_loss",
    "token_accuracy": "train_mean_token_accuracy",
    "validation_loss": "full_valid_loss",
    "learning_rate": "learning_rate",
}
_ENDINGS = {
    entity.COMPLETED: (INFO, "The job has successfully completed."),
    entity.STOPPED: (WARN, "The job was cancelled."),
    entity.PAUSED: (INFO, "The job rests."),
}


@dataclass(frozen=True)
class Moment:
    """created_at: ISO 8601 UTC. The id of one stays the same however many follow."""

    id: str
    created_at: str
    level: str
    message: str
    type: str = MESSAGE
    data: dict[str, Any] = field(default_factory=dict)


def as_csv(lines: Iterable[dict[str, Any]]) -> str:
    """The numbers of each step, as OpenAI's result files have them: empty where one was not measured."""
    written = io.StringIO()
    table = csv.DictWriter(
        written, [name for name in _NUMBERS.values() if name != "total_steps"], extrasaction="ignore"
    )
    table.writeheader()
    for _, line in sorted(steps(lines).items()):
        table.writerow(numbers(line))
    return written.getvalue()


def timeline(job: Job, lines: Iterable[dict[str, Any]]) -> list[Moment]:
    """Newest first. lines: of the trainer's metrics.jsonl; of a step that came twice the last one counts."""
    told = [*_beginning(job), *(_step(job, line) for _, line in sorted(steps(lines).items())), *_end(job)]
    return told[::-1]


def _beginning(job: Job) -> Iterator[Moment]:
    files = ", ".join(file.dataset_id for file, _ in job.reads)
    yield _moment(job, "created", job.created_at, INFO, f"Created fine-tuning job: {job.id}")
    yield _moment(job, "files", job.created_at, INFO, f"The files were checked: {files}")
    if job.attempt > 1:
        yield _moment(job, f"attempt-{job.attempt}", job.created_at, INFO, f"Attempt {job.attempt} goes on with it.")
    if job.started_at:
        yield _moment(job, f"started-{job.attempt}", job.started_at, INFO, "Fine-tuning job started")


def _step(job: Job, line: dict[str, Any]) -> Moment:
    data = numbers(line)
    losses = (("training loss", data.get("train_loss")), ("validation loss", data.get("full_valid_loss")))
    said = ", ".join(f"{name}={loss:.4f}" for name, loss in losses if loss is not None)
    message = f"Step {line['step']}/{line.get('total_steps') or '?'}" + (f": {said}" if said else "")
    return Moment(_id(job, f"step-{line['step']}"), line["time"], INFO, message, METRICS, data)


def steps(lines: Iterable[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The lines by their step; of a step that came twice the last one counts, as far as it knows something."""
    found: dict[int, dict[str, Any]] = {}
    for line in lines:
        if isinstance(step := line.get("step"), int):
            found[step] = found.get(step, {}) | {name: value for name, value in line.items() if value is not None}
    return found


def numbers(line: dict[str, Any]) -> dict[str, Any]:
    """What a line says, in OpenAI's words."""
    return {shown: line[name] for name, shown in _NUMBERS.items() if line.get(name) is not None}


def _end(job: Job) -> Iterator[Moment]:
    if job.is_live:
        return
    at = job.finished_at or job.updated_at
    if job.status == entity.FAILED:
        reason = job.status_reason or {}
        message = f"The job failed: {reason.get('message', 'no reason was given.')} {reason.get('hint') or ''}".strip()
        yield Moment(_id(job, f"ended-{job.attempt}"), at, ERROR, message, data={"code": reason.get("code")})
        return
    if job.status == entity.COMPLETED:
        yield _moment(job, "model", at, INFO, f"New fine-tuned model created: {job.result_model}")
    level, message = _ENDINGS[job.status]
    yield _moment(job, f"ended-{job.attempt}", at, level, message)


def _moment(job: Job, what: str, at: str, level: str, message: str) -> Moment:
    return Moment(_id(job, what), at, level, message)


def _id(job: Job, what: str) -> str:
    return f"ftevent-{job.id.rpartition('_')[2]}-{what}"
