"""PrepareDataset: copy the job's rows and write the config that the container reads."""

from functions.pipeline.step import Payload, step
from luthier import wiring
from luthier.jobs.entity import Step


@step
def handler(event: Payload) -> Payload:
    return wiring.training_pipeline().prepare_dataset(Step.of(event))
