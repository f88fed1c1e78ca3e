"""SettleDeployment: deployed, or failed with a reason and nothing left behind."""

from functions.pipeline.step import Payload, step
from luthier import wiring


@step
def handler(event: Payload) -> Payload:
    settled = wiring.deployment_pipeline().settle(
        event["organization_id"], event["target"], event["attempt"], event.get("error")
    )
    return {"status": settled.status}
