"""Models: those that jobs have yielded, and one served on this machine."""

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli import model_files, serving
from luthier.cli.asking import Shown, Wait, asking, given

if TYPE_CHECKING:
    from luthier.client import Luthier

app = typer.Typer(no_args_is_help=True, help="Models, here and on the platform.")
app.add_typer(model_files.app)
app.add_typer(serving.app)

ModelId = Annotated[str, typer.Argument(metavar="MODEL", help="Id of the model, or any of its names.")]


@app.command("list")
@asking
def list_models(
    client: "Luthier",
    base: Annotated[bool, typer.Option("--base", help="The base models that can be trained, instead.")] = False,
    status: Annotated[str | None, typer.Option(help="As ready, deployed, archived.")] = None,
    base_model: Annotated[str | None, typer.Option(help="Only what was trained from it.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
) -> Shown:
    """List models, newest first.

    Example: luthier models list --status ready
    """
    from luthier.cli.showing import table

    if base:
        known = list(client.fine_tuning.base_models())
        columns = {"id": "id", "parameters": "parameter_count", "context": "max_sequence_length", "license": "license"}
        return Shown(known, table(known, **columns, gated="gated", methods="methods"))
    asked = given(status=status, base_model=base_model, limit=min(limit, 100))
    rows = list(islice(client.training.models.list(**asked), limit))
    columns = {"id": "id", "name": "name", "version": "version", "status": "status", "base_model": "base_model"}
    return Shown(rows, table(rows, **columns, loss=lambda row: row.metrics.final_loss, created="created_at"))


@app.command()
@asking
def get(client: "Luthier", model_id: ModelId) -> Shown:
    """Show a model: where it comes from, its measures, its files and its deployments.

    Example: luthier models get llama-3.1-8b-tickets
    """
    model = client.training.models.get(model_id)
    return Shown(model, _facts(model))


def _facts(model: Any) -> Any:
    from rich.console import Group

    from luthier.cli.showing import each, facts, table

    names = ("id", "name", "names", "status", "description", "base_model", "version", "training_job_id", "tags")
    shown = facts(
        model,
        **{name: name for name in names},
        training=lambda row: each(vars(row.metrics.training)),
        validation=lambda row: each(vars(row.metrics.validation)),
        archived=lambda row: row.archived and f"until {row.archived.expires_at}: {row.archived.reason or 'no reason'}",
        created="created_at",
    )
    parts = [shown]
    if model.files:
        parts.append(table(model.files, file="name", bytes="size", checksum="checksum"))
    if model.deployments:
        parts.append(table(model.deployments, deployment="id", name="name", status="status", url="url"))
    return Group(*parts)


@app.command()
@asking
def versions(client: "Luthier", model_id: ModelId) -> Shown:
    """List the versions of a model.

    Example: luthier models versions llama-3.1-8b-tickets
    """
    from luthier.cli.showing import table

    rows = list(client.training.versions.list(model_id))
    return Shown(rows, table(rows, version="version", id="id", name="name", status="status", created="created_at"))


@app.command()
@asking
def deploy(
    client: "Luthier",
    model_id: ModelId,
    name: Annotated[str | None, typer.Option(help="The deployment's name.")] = None,
    environment: Annotated[str | None, typer.Option(help="As production or staging.")] = None,
    kind: Annotated[str | None, typer.Option(help="shared or dedicated; chosen by itself otherwise.")] = None,
    gpu_type: Annotated[str | None, typer.Option(help="As a hardware's id.")] = None,
    workers: Annotated[int | None, typer.Option(min=1)] = None,
    min_workers: Annotated[int | None, typer.Option(min=0, help="0: it sleeps when nobody asks.")] = None,
    max_workers: Annotated[int | None, typer.Option(min=1)] = None,
    wait: Wait = False,
) -> Shown:
    """Deploy a model: it costs by the hour until it is paused or deleted.

    Example: luthier models deploy llama-3.1-8b-tickets --wait
    """
    from luthier.cli.deployments import done

    scaling = given(min_workers=min_workers, max_workers=max_workers)
    asked = given(
        name=name, environment=environment, kind=kind, gpu_type=gpu_type, workers=workers, scaling=scaling or None
    )
    return done(client, client.training.models.deploy(model_id, **asked), wait)


@app.command()
@asking
def compare(
    client: "Luthier",
    models: Annotated[list[str], typer.Argument(metavar="MODEL…", help="Two or more; base models too.")],
    metric: Annotated[list[str] | None, typer.Option(help="Only this; repeat it.")] = None,
    benchmark: Annotated[
        list[str] | None, typer.Option(help="An lm-eval task, or the id of a file of the purpose evals; repeat it.")
    ] = None,
) -> Shown:
    """Compare models. What has to be measured first is pending: ask again for it.

    Example: luthier models compare llama-3.1-8b-tickets llama-3.1-8b-tickets-2
    """
    from rich.console import Group

    from luthier.cli.showing import each, table

    asked = given(metrics=metric, benchmarks=benchmark)
    answer = client.training.models.compare(models=models, **asked)
    rows = table(
        answer.models,
        id="id",
        name="name",
        metrics=lambda row: each(row.metrics),
        benchmarks=lambda row: each(row.benchmarks),
    )
    best = f"best: {each(answer.best_performing) or 'nothing to tell'}"
    pending = [f"pending: {row.benchmark} of {row.model}, {row.status}" for row in answer.pending]
    return Shown(answer, Group(rows, "\n".join([best, *answer.recommendations, *pending])))


@app.command()
@asking
def archive(
    client: "Luthier",
    model_id: ModelId,
    reason: Annotated[str | None, typer.Option()] = None,
    retention_period: Annotated[str | None, typer.Option(help="As 1_year or 90_days; then it is deleted.")] = None,
) -> Shown:
    """Put a model away; until its retention ends it can be restored.

    Example: luthier models archive llama-3.1-8b-tickets --reason "replaced by version 2"
    """
    asked = given(reason=reason, retention_period=retention_period)
    model = client.training.models.archive(model_id, **asked)
    return Shown(model, f"{model.name} is {model.status} until {model.archived and model.archived.expires_at}.")


@app.command()
@asking
def restore(client: "Luthier", model_id: ModelId) -> Shown:
    """Bring an archived model back.

    Example: luthier models restore llama-3.1-8b-tickets
    """
    model = client.training.models.restore(model_id)
    return Shown(model, f"{model.name} is {model.status}.")
