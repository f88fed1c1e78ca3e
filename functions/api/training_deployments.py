"""Deployments on the training_models surface: /v2/training/models/<id>/deploy and /v2/training/deployments/*."""

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.api.app import Surface, needs
from functions.api.parameters import Limit
from luthier import wiring
from luthier.deployments import schema
from luthier.wire import LONGEST_NAME

MODEL = "/v2/training/models/<model_id>"
DEPLOYMENTS = "/v2/training/deployments"
DEPLOYMENT = f"{DEPLOYMENTS}/<deployment_id>"
READ, WRITE = needs("models:read"), needs("models:write")

Text = Annotated[str | None, Query(max_length=LONGEST_NAME)]
OfStatus = Annotated[schema.Status | None, Query(description="Deployments in this state.")]
Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="Deployments to skip.")]


def add_routes(app: Surface) -> None:
    _add_deploying(app)
    _add_reading(app)
    _add_changing(app)


def _add_deploying(app: Surface) -> None:
    @app.post(f"{MODEL}/deploy", security=WRITE, summary="Deploy a model")
    def deploy_model(model_id: str, body: schema.DeployModel | None = None) -> schema.DeploymentStarted:
        deployment = wiring.deployments().deploy_model(
            app.principal, model_id, (body or schema.DeployModel.model_validate({})).wish()
        )
        return schema.DeploymentStarted.of(deployment, app.base_url)

    @app.get(f"{MODEL}/deployments", security=READ, summary="List the deployments of a model")
    def list_model_deployments(model_id: str, limit: Limit = 50, offset: Offset = 0) -> schema.DeploymentPage:
        found = wiring.deployments().list(app.principal, model=model_id)
        return schema.DeploymentPage.of(found, limit=limit, offset=offset, base_url=app.base_url)


def _add_reading(app: Surface) -> None:
    @app.get(DEPLOYMENTS, security=READ, summary="List deployments")
    def list_deployments(
        status: OfStatus = None,
        environment: Text = None,
        model: Text = None,
        limit: Limit = 50,
        offset: Offset = 0,
    ) -> schema.DeploymentPage:
        found = wiring.deployments().list(app.principal, status=status, environment=environment, model=model)
        return schema.DeploymentPage.of(found, limit=limit, offset=offset, base_url=app.base_url)

    @app.get(DEPLOYMENT, security=READ, summary="Get a deployment")
    def get_deployment(deployment_id: str) -> schema.DeploymentDetails:
        deployment = wiring.deployments().get(app.principal, deployment_id)
        host = wiring.deployments().host(deployment)
        return schema.DeploymentDetails.with_host(deployment, host, app.base_url)


def _add_changing(app: Surface) -> None:
    @app.patch(DEPLOYMENT, security=WRITE, summary="Change a deployment's workers, scaling or configuration")
    def update_deployment(deployment_id: str, body: schema.ChangeDeployment) -> schema.DeploymentObject:
        changed = wiring.deployments().update(app.principal, deployment_id, **body.changes())
        return schema.DeploymentObject.of(changed, app.base_url)

    @app.post(f"{DEPLOYMENT}/pause", security=WRITE, summary="Pause a deployment")
    def pause_deployment(deployment_id: str) -> schema.DeploymentObject:
        return schema.DeploymentObject.of(wiring.deployments().pause(app.principal, deployment_id), app.base_url)

    @app.post(f"{DEPLOYMENT}/resume", security=WRITE, summary="Resume a paused deployment")
    def resume_deployment(deployment_id: str) -> schema.DeploymentObject:
        return schema.DeploymentObject.of(wiring.deployments().resume(app.principal, deployment_id), app.base_url)

    @app.delete(DEPLOYMENT, security=WRITE, summary="Delete a deployment")
    def delete_deployment(deployment_id: str) -> schema.DeploymentObject:
        return schema.DeploymentObject.of(wiring.deployments().delete(app.principal, deployment_id), app.base_url)
