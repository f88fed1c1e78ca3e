"""BoundRun: bound how long the run may take."""

from functions.pipeline.step import Payload, step
from luthier import wiring
from luthier.jobs.entity import Step


@step
def handler(event: Payload) -> Payload:
    return wiring.training_pipeline().bound_run(Step.of(event))
