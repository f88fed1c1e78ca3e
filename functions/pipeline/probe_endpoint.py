"""ProbeEndpoint: one real question before anyone is told that the model is deployed."""

from functions.pipeline.step import Payload, step
from luthier import wiring


@step
def handler(event: Payload) -> Payload:
    wiring.deployment_pipeline().probe_endpoint(event["organization_id"], event["target"])
    return {}
