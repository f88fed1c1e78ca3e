"""PlaceDeployment: bring SageMaker one step nearer to what the deployment is to be."""

from functions.pipeline.step import Payload, step
from luthier import wiring


@step
def handler(event: Payload) -> Payload:
    placement = wiring.deployment_pipeline().place(
        event["organization_id"], event["deployment_id"], event["run"], event.get("staging", {}).get("model_uri", "")
    )
    return {"placement": placement}
