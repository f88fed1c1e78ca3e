"""PlanLaunch: name the next training job before it exists."""

from functions.pipeline.step import Payload, step
from luthier import wiring
from luthier.jobs.entity import Step


@step
def handler(event: Payload) -> Payload:
    plan = wiring.training_pipeline().plan_launch(
        Step.of(event), model_uri=event["staging"]["model_uri"], max_runtime_seconds=event["max_runtime_seconds"]
    )
    return {"launch": plan, "error": None}
