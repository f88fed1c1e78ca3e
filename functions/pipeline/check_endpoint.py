"""CheckEndpoint: is the endpoint up?"""

from functions.pipeline.step import Payload, step
from luthier import wiring


@step
def handler(event: Payload) -> Payload:
    pipeline = wiring.deployment_pipeline()
    return {"endpoint_status": pipeline.check_endpoint(event["organization_id"], event["target"])}
