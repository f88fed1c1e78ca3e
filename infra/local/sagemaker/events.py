"""SageMaker's own events on the default bus."""

import json
import logging
from typing import Any

from infra.local import emulator
from infra.local.sagemaker.store import Record

log = logging.getLogger("luthier.sagemaker")
_DETAIL_TYPE = "SageMaker Training Job State Change"


def milliseconds(value: Any) -> Any:
    """The record with its times as Step Functions and EventBridge write them: whole milliseconds."""
    if isinstance(value, dict):
        return {key: _moment(key, item) for key, item in value.items()}
    if isinstance(value, list):
        return [milliseconds(item) for item in value]
    return value


def _moment(key: str, value: Any) -> Any:
    if key.endswith("Time") and isinstance(value, float):
        return int(value * 1000)
    return milliseconds(value)


def publish(job: Record) -> None:
    """Tell everyone that the job changed its status. Best effort, as on AWS."""
    try:
        detail = json.dumps(milliseconds(job))
        emulator.publish_aws_event(_DETAIL_TYPE, detail, [job["TrainingJobArn"]], "aws.sagemaker")
    except Exception:
        log.exception("A state change of %s was not published", job["TrainingJobName"])
