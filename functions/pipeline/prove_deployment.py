"""ProveDeployment: the model answers as it should before anyone is told that it is active."""

from functions.pipeline.step import Payload, step
from luthier import wiring


@step
def handler(event: Payload) -> Payload:
    proof = wiring.deployment_pipeline().prove(event["organization_id"], event["deployment_id"], event["run"])
    return {"proof": proof}
