"""CheckEndpoint: is the endpoint up?"""

from luthier import wiring

from functions.pipeline.step import Payload, step


@step
def handler(event: Payload) -> Payload:
    pipeline = wiring.deployment_pipeline()
    return {"endpoint_status": pipeline.check_endpoint(event["organization_id"], event["target"])}
