"""Every minute: settle the jobs, deployments and processings that their pipelines have forgotten."""

from typing import Any

from luthier import wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    return {
        "jobs": wiring.job_watcher().sweep(),
        "deployments": wiring.deployment_pipeline().sweep(),
        "processings": wiring.processing_pipeline().sweep(),
    }
