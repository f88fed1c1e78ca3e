"""PlanProcessing: how did the last launch go, and what is the next job created with?"""

from functions.pipeline.step import Payload, step
from luthier import wiring


@step
def handler(event: Payload) -> Payload:
    launch = wiring.processing_pipeline().plan(
        event["organization_id"],
        event["processing_id"],
        event["attempt"],
        model_uri=event["staging"]["model_uri"],
        error=event.get("error"),
    )
    return {"launch": launch} if launch["status"] == "ended" else {"launch": launch, "error": None}
