"""The training_models surface: /v2/training/*. camelCase answers, one wrapper key where the page has one."""

import re

from functions.api.app import Surface, needs
from functions.api.error_shapes import training_models as error_shape
from luthier import wiring
from luthier.catalog import service as catalog
from luthier.deployments import schema

MODEL = "/v2/training/models/<model_id>"

app = Surface("training_models", error_shape, slashed_ids=re.compile(r"(?<=^/v2/training/models/).+?(?=(/deploy)?/*$)"))
handler = app.handle


@app.post(f"{MODEL}/deploy", security=needs("models:write"), summary="Deploy a model")
def deploy_model(model_id: str, body: schema.DeployModel | None = None) -> schema.DeploymentStarted:
    deployment = wiring.deployments().deploy_model(app.principal, model_id)
    hardware = catalog.find_hardware(deployment.hardware)
    return schema.DeploymentStarted.of(deployment, body or schema.DeployModel(), hardware.name, app.base_url)
