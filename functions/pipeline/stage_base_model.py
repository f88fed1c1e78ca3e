"""StageBaseModel: is the base model in our bucket, and if not, who copies it?"""

from functions.pipeline.step import Payload, step
from luthier import wiring


@step
def handler(event: Payload) -> Payload:
    return {"staging": wiring.base_model_staging().plan(event["base_model"], event.get("staging"))}
