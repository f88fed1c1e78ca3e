"""A processing's SageMaker job: what it is created with, what it cost, and why it failed. Pure."""

from typing import Any

from luthier.catalog import service as catalog
from luthier.jobs import outcome
from luthier.processing.entity import Processing
from luthier.processing.plan import Plan

# Where SageMaker mounts everything; the local cloud names another folder after it.
_ROOT = "/opt/ml"


def request(processing: Processing, plan: Plan, artifacts_bucket: str) -> dict[str, Any]:
    """What CreateTrainingJob is asked for, as the state machine names it."""
    return {
        "training_job_name": processing.training_job_name,
        "entrypoint": ["python", "-m", plan.module],
        "arguments": ["--root", _ROOT, *plan.arguments],
        "channels": [_channel(name, uri) for name, uri in plan.channels.items()],
        "output_uri": f"s3://{artifacts_bucket}/{processing.folder}/",
        "instance_type": catalog.find_hardware(plan.hardware).instance_type(processing.launch),
        "volume_gb": plan.volume_gb,
        "max_runtime_seconds": plan.max_seconds,
    }


def billed(described: dict[str, Any] | None) -> dict[str, Any]:
    """`{seconds, cost}` of a job, from DescribeTrainingJob's answer."""
    seconds = (described or {}).get("BillableTimeInSeconds", 0)
    return {"seconds": seconds, "cost": seconds * _price(described) / 3600 if described and seconds else 0.0}


def reason(described: dict[str, Any] | None, error: dict[str, Any] | None) -> dict[str, Any] | None:
    """`{code, message, hint}` of a job that did not complete; None where nothing says why."""
    status = (described or {}).get("TrainingJobStatus")
    if status == "Failed":
        return _in_words(outcome.reason_in((described or {}).get("FailureReason", ""), code="processing_failed"))
    if status == "Stopped":
        return _stopped(described or {})
    return _in_words(outcome.reason_of(error)) if error else None


def _in_words(found: dict[str, Any]) -> dict[str, Any]:
    """A reason without the advice that is meant for runs of training."""
    if found["code"] == "killed":
        return found | {"hint": "Ask for it again; if it is killed again, the model is too large for the machine."}
    return found


def _stopped(described: dict[str, Any]) -> dict[str, Any]:
    if described.get("SecondaryStatus") == "MaxRuntimeExceeded":
        message = "It took more than its time limit and was stopped."
        return {"code": "max_duration_exceeded", "message": message, "hint": "Ask for less of it."}
    message = "The SageMaker job was stopped from outside Luthier."
    return {"code": "stopped_outside", "message": message, "hint": "Ask for it again."}


def _price(described: dict[str, Any] | None) -> float:
    """Dollars per hour of the instance type that ran it."""
    kind = (described or {})["ResourceConfig"]["InstanceType"]
    instances = (instance for row in catalog.hardware() for instance in row.instances)
    return next((instance.cost_per_hour for instance in instances if instance.type == kind), 0.0)


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}
