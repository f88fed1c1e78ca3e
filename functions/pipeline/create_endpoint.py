"""CreateEndpoint: model, configuration and endpoint of a deployment."""

from luthier import wiring

from functions.pipeline.step import Payload, step


@step
def handler(event: Payload) -> Payload:
    pipeline = wiring.deployment_pipeline()
    pipeline.create_endpoint(event["organization_id"], event["target"], event["staging"]["model_uri"])
    return {}
