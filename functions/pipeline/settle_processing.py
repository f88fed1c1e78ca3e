"""SettleProcessing: completed with a result, or failed with a reason and nothing left running."""

from functions.pipeline.step import Payload, step
from luthier import wiring


@step
def handler(event: Payload) -> Payload:
    settled = wiring.processing_pipeline().settle(
        event["organization_id"], event["processing_id"], event["attempt"], event.get("error")
    )
    return {"status": settled.status}
