"""ReserveCredits: bound what the run may take."""

from luthier import wiring
from luthier.jobs.entity import Step

from functions.pipeline.step import Payload, step


@step
def handler(event: Payload) -> Payload:
    return wiring.training_pipeline().reserve_credits(Step.of(event))
