"""Deployments: models that answer requests."""

import time
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli.asking import Shown, Wait, asking, given

if TYPE_CHECKING:
    from luthier.client import Luthier

app = typer.Typer(no_args_is_help=True, help="Models that answer requests, and cost by the hour.")

DeploymentId = Annotated[
    str, typer.Argument(metavar="DEPLOYMENT", help="Id of the deployment, as `luthier deployments list` shows it.")
]


_PAUSE_SECONDS = 5.0


def done(client: "Luthier", deployment: Any, wait: bool) -> Shown:
    """A deployment after a change. Raises WorkFailed where it was waited for, and failed."""
    if not wait:
        return Shown(deployment, f"{deployment.id} is {deployment.status}.")
    from luthier.cli.showing import console

    with console(err=True).status(f"{deployment.id} is {deployment.status} …") as shown:
        ended = client.training.deployments.wait(
            deployment.id, on_progress=lambda now: shown.update(f"{now.id} is {now.status} …")
        )
    return Shown(ended, _facts(ended))


def _facts(deployment: Any) -> Any:
    from luthier.cli.showing import each, facts

    names = ("id", "name", "status", "model_id", "version", "environment", "kind", "url", "cost_per_hour")
    return facts(
        deployment,
        **{name: name for name in names},
        error=lambda row: row.error and row.error.message,
        configuration=lambda row: each(vars(row.configuration)),
        scaling=lambda row: row.scaling and each(vars(row.scaling)),
        created="created_at",
        ready="ready_at",
    )


@app.command("list")
@asking
def list_deployments(
    client: "Luthier",
    status: Annotated[str | None, typer.Option(help="As deploying, active, paused, failed.")] = None,
    environment: Annotated[str | None, typer.Option()] = None,
    model: Annotated[str | None, typer.Option(help="Id or name of a model.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 20,
) -> Shown:
    """List deployments.

    Example: luthier deployments list --status active
    """
    from luthier.cli.showing import table

    asked = given(status=status, environment=environment, model=model, limit=min(limit, 100))
    rows = list(islice(client.training.deployments.list(**asked), limit))
    columns = {"id": "id", "name": "name", "status": "status", "model": "model_id", "kind": "kind"}
    return Shown(rows, table(rows, **columns, USD_per_hour="cost_per_hour", created="created_at"))


@app.command()
@asking
def get(client: "Luthier", deployment_id: DeploymentId) -> Shown:
    """Show a deployment.

    Example: luthier deployments get ep_01k9j3v6x2m8q4r7t5w0y1z3ab
    """
    deployment = client.training.deployments.get(deployment_id)
    return Shown(deployment, _facts(deployment))


@app.command()
@asking
def update(
    client: "Luthier",
    deployment_id: DeploymentId,
    workers: Annotated[int | None, typer.Option(min=1)] = None,
    min_workers: Annotated[int | None, typer.Option(min=0)] = None,
    max_workers: Annotated[int | None, typer.Option(min=1)] = None,
    target_utilization: Annotated[float | None, typer.Option(min=0, max=1)] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="For requests that set none.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="For requests that set none.")] = None,
    top_p: Annotated[float | None, typer.Option(min=0, max=1, help="For requests that set none.")] = None,
    wait: Wait = False,
) -> Shown:
    """Change a deployment's workers, scaling, or defaults of requests.

    Example: luthier deployments update ep_01k9j3v6x2m8q4r7t5w0y1z3ab --workers 2
    """
    scaling = given(min_workers=min_workers, max_workers=max_workers, target_utilization=target_utilization)
    configuration = given(max_tokens=max_tokens, temperature=temperature, top_p=top_p)
    asked = given(workers=workers, scaling=scaling or None, configuration=configuration or None)
    changed: Any = client.training.deployments.update(deployment_id, **asked)
    # It goes on answering as it was while new workers come up.
    while wait and changed.updating:
        time.sleep(_PAUSE_SECONDS)
        changed = client.training.deployments.get(deployment_id)
    return done(client, changed, wait)


@app.command()
@asking
def pause(client: "Luthier", deployment_id: DeploymentId) -> Shown:
    """End a deployment's cost; `resume` brings it back.

    Example: luthier deployments pause ep_01k9j3v6x2m8q4r7t5w0y1z3ab
    """
    return done(client, client.training.deployments.pause(deployment_id), wait=False)


@app.command()
@asking
def resume(client: "Luthier", deployment_id: DeploymentId, wait: Wait = False) -> Shown:
    """Bring a paused deployment back.

    Example: luthier deployments resume ep_01k9j3v6x2m8q4r7t5w0y1z3ab --wait
    """
    return done(client, client.training.deployments.resume(deployment_id), wait)


@app.command()
@asking
def delete(client: "Luthier", deployment_id: DeploymentId) -> Shown:
    """Delete a deployment. The model stays.

    Example: luthier deployments delete ep_01k9j3v6x2m8q4r7t5w0y1z3ab
    """
    return done(client, client.training.deployments.delete(deployment_id), wait=False)
