"""Bring what the container and SageMaker report into the job: its phase, its progress, its losses."""

from typing import Any

from luthier import wiring


def handler(event: dict[str, Any], context: Any) -> None:
    watcher, detail = wiring.job_watcher(), event["detail"]
    if event["source"] == "aws.sagemaker":
        watcher.training_job_changed(detail)
    else:
        watcher.metrics_written(detail["object"]["key"])
