"""OpenAI's permissions for checkpoints: /v1/fine_tuning/checkpoints/{name}/permissions. Its projects: organizations."""

from typing import Annotated, Literal

from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.api.app import Surface, needs
from functions.api.parameters import After, Limit
from luthier import wiring
from luthier.jobs import openai_sharing as schema
from luthier.wire import LONGEST_NAME

PERMISSIONS = "/v1/fine_tuning/checkpoints/<fine_tuned_model_checkpoint>/permissions"
# As OpenAI's admin keys.
ADMIN = needs("admin")

Order = Annotated[Literal["ascending", "descending"], Query(description="By created_at.")]
Project = Annotated[str | None, Query(max_length=LONGEST_NAME, description="Only those of this organization.")]


def add_routes(app: Surface) -> None:
    @app.post(PERMISSIONS, security=ADMIN, summary="Let other organizations make a model of a checkpoint")
    def create_checkpoint_permissions(
        fine_tuned_model_checkpoint: str, body: schema.GivePermissions
    ) -> schema.PermissionList:
        given = wiring.sharing().give(app.principal, fine_tuned_model_checkpoint, body.project_ids)
        return schema.PermissionList.of(given, has_more=False)

    @app.get(PERMISSIONS, security=ADMIN, summary="List who may make a model of a checkpoint")
    def list_checkpoint_permissions(
        fine_tuned_model_checkpoint: str,
        limit: Limit = 10,
        after: After = None,
        order: Order = "descending",
        project_id: Project = None,
    ) -> schema.PermissionList:
        found, more = wiring.sharing().page(
            app.principal,
            fine_tuned_model_checkpoint,
            limit=limit,
            after=after,
            ascending=order == "ascending",
            project_id=project_id,
        )
        return schema.PermissionList.of(found, has_more=more)

    @app.delete(f"{PERMISSIONS}/<permission_id>", security=ADMIN, summary="Take a permission back")
    def delete_checkpoint_permission(fine_tuned_model_checkpoint: str, permission_id: str) -> schema.PermissionDeleted:
        gone = wiring.sharing().take_back(app.principal, fine_tuned_model_checkpoint, permission_id)
        return schema.PermissionDeleted(id=gone.id)
