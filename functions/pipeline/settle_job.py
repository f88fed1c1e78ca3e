"""SettleJob: the attempt's last word, whichever way it came here."""

from functions.pipeline.step import Payload, step
from luthier import wiring
from luthier.jobs.entity import Step


@step
def handler(event: Payload) -> Payload:
    return {"status": wiring.training_pipeline().settle(Step.of(event), error=event.get("error")).status}
