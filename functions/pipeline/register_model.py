"""RegisterModel: the finished adapter becomes a model with names."""

from functions.pipeline.step import Payload, step
from luthier import wiring
from luthier.jobs.entity import Step


@step
def handler(event: Payload) -> Payload:
    return {"model": wiring.training_pipeline().register_model(Step.of(event))}
