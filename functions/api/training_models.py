"""The training_models surface: /v2/training/*. camelCase answers, one wrapper key where the page has one."""

import re

from functions.api import training_evaluations
from functions.api.app import Surface, needs
from functions.api.error_shapes import training_models as error_shape
from luthier import wiring
from luthier.catalog import service as catalog
from luthier.deployments import schema

MODEL = "/v2/training/models/<model_id>"

# What follows on a model's id, which may hold slashes. The id of an evaluation has none, but a client may send some.
_AFTER_ID = r"(/(deploy|evaluate|evaluations(/.+?)?))?/*$"
_IDS = re.compile(rf"(?<=^/v2/training/models/).+?(?={_AFTER_ID})|(?<=/evaluations/).+?(?=/*$)")

app = Surface("training_models", error_shape, slashed_ids=_IDS)
handler = app.handle


@app.post(f"{MODEL}/deploy", security=needs("models:write"), summary="Deploy a model")
def deploy_model(model_id: str, body: schema.DeployModel | None = None) -> schema.DeploymentStarted:
    deployment = wiring.deployments().deploy_model(app.principal, model_id)
    hardware = catalog.find_hardware(deployment.hardware)
    return schema.DeploymentStarted.of(deployment, body or schema.DeployModel(), hardware.name, app.base_url)


training_evaluations.add_routes(app)
