"""AssessTraining: how did the training job end, by SageMaker's own word?"""

from functions.pipeline.step import Payload, step
from luthier import wiring
from luthier.jobs.entity import Step


@step
def handler(event: Payload) -> Payload:
    return {"verdict": wiring.training_pipeline().assess_training(Step.of(event), event.get("error"))}
