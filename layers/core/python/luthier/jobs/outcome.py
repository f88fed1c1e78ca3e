"""How an attempt ended, read from what SageMaker and Step Functions say. Pure."""

import json
from dataclasses import dataclass
from typing import Any

from luthier.jobs import entity
from luthier.jobs.entity import Job
from luthier.jobs.hyperparameters import to_wire

COMPLETED, RUNNING, STOPPED, FAILED, NO_CAPACITY = "completed", "running", "stopped", "failed", "no_capacity"
PAUSED = "paused"

STOPPED_BY_USER = {"code": "stopped_by_user", "message": "Stopped on request.", "hint": None}
AWAITING_START = {
    "code": "awaiting_start",
    "message": "The job is checked and priced.",
    "hint": "Start it, or cancel it.",
}
_PAUSED_BY_USER = {
    "code": "paused_by_user",
    "message": "Paused on request.",
    "hint": "Resume it to go on from its checkpoint.",
}
_BUDGET_REACHED = {
    "code": "budget_reached",
    "message": "The next step would have cost more than the job's cap. The run has saved a checkpoint and rests.",
    "hint": "Resume it with a higher cap (maxCost, or cost.cap for OpenAI's clients) to go on from the checkpoint.",
}

# Refusals that pass with time. Step Functions names the first two as errors; SageMaker writes the third into the
# FailureReason of a job that it had accepted.
_WAITABLE = ("ResourceLimitExceeded", "ThrottlingException", "CapacityError")
_BY_STATUS = {
    "Completed": COMPLETED,
    "InProgress": RUNNING,
    "Stopping": RUNNING,
    "Stopped": STOPPED,
}


_EVIDENCE_LINES, _EVIDENCE_CHARACTERS = 20, 500
_KILLED = {
    "code": "killed",
    "message": "The container was killed (exit code 137), most likely because the machine's memory ran out.",
    "hint": "Lower batchSize or maxSequenceLength, or choose hardware with more memory; then restart the job.",
}


@dataclass(frozen=True)
class Ending:
    """The terminal status of an attempt and why: `{code, message, hint}` and what `explained` adds, or None."""

    status: str
    reason: dict[str, Any] | None


def verdict(described: dict[str, Any] | None, error: dict[str, Any] | None) -> str:
    """What to do after the Train step. `described` is DescribeTrainingJob's answer, None where no job exists."""
    if described is None:
        text = f"{(error or {}).get('Error', '')} {(error or {}).get('Cause', '')}"
        return NO_CAPACITY if any(word in text for word in _WAITABLE) else FAILED
    status = described["TrainingJobStatus"]
    if status == "Failed" and "CapacityError" in described.get("FailureReason", ""):
        return NO_CAPACITY
    return _BY_STATUS.get(status, FAILED)


def ending(
    job: Job,
    described: dict[str, Any] | None,
    error: dict[str, Any] | None,
    *,
    registered: bool,
    capped: bool = False,
) -> Ending:
    """The end of an attempt. A registered model wins, then the user's wish, then the cap, then what failed.

    capped: the job's cost has reached its cap, or would have with one more step.
    """
    if registered:
        return Ending(entity.COMPLETED, None)
    if job.status == entity.STOPPING:
        return Ending(entity.STOPPED, STOPPED_BY_USER)
    if job.status == entity.PAUSING:
        return Ending(entity.PAUSED, _PAUSED_BY_USER)
    status = (described or {}).get("TrainingJobStatus")
    if capped and status in ("Completed", "Stopped"):
        return Ending(entity.PAUSED, _BUDGET_REACHED)
    if status == "Failed":
        return Ending(entity.FAILED, reason_in((described or {}).get("FailureReason", ""), "training_failed"))
    if status == "Stopped":
        return Ending(entity.FAILED, _stopped_by_sagemaker(described or {}))
    if error:
        return Ending(entity.FAILED, reason_of(error))
    message = "The platform lost this run: its pipeline ended without a result."
    return Ending(entity.FAILED, {"code": "interrupted", "message": message, "hint": "Restart the job."})


def explained(reason: dict[str, Any], said: dict[str, Any] | None) -> dict[str, Any]:
    """A failed run's reason with what its failure.json adds: evidence lines, and a change of the config to try.

    said: the container's own account, which also stands in for a FailureReason that SageMaker has garbled.
    """
    if not said or reason["code"] not in (said.get("code"), "training_failed"):
        return reason
    told = {name: said[name] for name in ("code", "message", "hint") if isinstance(said.get(name), str)}
    more: dict[str, Any] = {}
    if isinstance(evidence := said.get("evidence"), list) and evidence:
        more["evidence"] = [str(line)[:_EVIDENCE_CHARACTERS] for line in evidence[-_EVIDENCE_LINES:]]
    suggestion = said.get("suggestion")
    changes = suggestion.get("hyperparameters") if isinstance(suggestion, dict) else None
    if isinstance(changes, dict) and (shown := to_wire(changes)):
        more["suggestion"] = {"hyperparameters": shown}
    return reason | told | more


def facts(job: Job) -> dict[str, Any]:
    """What the event of an attempt's end says of it."""
    return {
        "jobId": job.id,
        "baseModel": job.base_model,
        "artifact": job.result_model,
        "reason": job.status_reason and {name: job.status_reason.get(name) for name in ("code", "message", "hint")},
        "resumable": job.resumable,
    }


def _stopped_by_sagemaker(described: dict[str, Any]) -> dict[str, Any]:
    if described.get("SecondaryStatus") == "MaxRuntimeExceeded":
        return {
            "code": "max_duration_exceeded",
            "message": "The run took more than its time limit and was stopped after a checkpoint.",
            "hint": "Restart it to go on from the checkpoint, or choose faster hardware.",
        }
    message = "The training job was stopped from outside Luthier."
    return {"code": "stopped_outside", "message": message, "hint": "Restart the job to go on from its checkpoint."}


def reason_of(error: dict[str, Any]) -> dict[str, Any]:
    """The reason behind a step's error: `Cause` is the Lambda error document, its message our own JSON."""
    cause = error.get("Cause", "")
    try:
        text = json.loads(cause).get("errorMessage", cause)
    except (ValueError, AttributeError):
        text = cause
    return reason_in(text or error.get("Error", ""), "pipeline_failed")


def reason_in(text: str, code: str) -> dict[str, Any]:
    """`{code, message, hint}` where the text carries it, as the container's failure file does; else the text itself."""
    if "exit code: 137" in text and "{" not in text:
        return _KILLED
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        try:
            found = json.loads(text[start : end + 1])
            return {"code": found["code"], "message": found["message"], "hint": found.get("hint")}
        except (ValueError, KeyError, TypeError):
            pass
    return {"code": code, "message": text or "No reason was given.", "hint": "The job's logs tell more."}
