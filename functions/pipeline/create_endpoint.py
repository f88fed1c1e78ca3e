"""CreateEndpoint: model, configuration and endpoint of a deployment."""

from functions.pipeline.step import Payload, step
from luthier import wiring


@step
def handler(event: Payload) -> Payload:
    pipeline = wiring.deployment_pipeline()
    pipeline.create_endpoint(event["organization_id"], event["target"], event["staging"]["model_uri"])
    return {}
