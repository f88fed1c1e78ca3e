"""SettleDeployment: active, paused, deleted, or failed with a reason and nothing left behind."""

from functions.pipeline.step import Payload, step
from luthier import wiring


@step
def handler(event: Payload) -> Payload:
    settled = wiring.deployment_pipeline().settle(
        event["organization_id"],
        event["deployment_id"],
        event["run"],
        status=event.get("placement", {}).get("status", ""),
        proof=event.get("proof"),
        error=event.get("error"),
    )
    return {"settled": settled, "error": None}
