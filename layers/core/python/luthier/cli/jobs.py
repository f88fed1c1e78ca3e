"""Fine-tuning jobs: begin one, see how it goes, end it or let it go on."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli import job_reports
from luthier.cli.asking import Shown, asking, given

if TYPE_CHECKING:
    from luthier.client import Luthier

app = typer.Typer(no_args_is_help=True, help="Fine-tuning jobs.")
app.add_typer(job_reports.app)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job, as `luthier jobs list` shows it.")]
Watch = Annotated[bool, typer.Option("--watch", help="Until it has ended; the status is then that of `jobs watch`.")]
MaxCost = Annotated[
    float | None, typer.Option(min=0, help="Over all attempts; the job rests before it would cost more.")
]


@app.command()
@asking
def create(
    client: "Luthier",
    data: Annotated[
        str | None,
        typer.Option(help="A JSONL file here, which is checked and uploaded; or the id or name of an uploaded one."),
    ] = None,
    base_model: Annotated[str | None, typer.Option(help="Base model, or a model of your own to go on from.")] = None,
    file: Annotated[
        Path | None, typer.Option(help="TOML or JSON with the fields of a job; options go before them.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The suffix or the file's name by default.")] = None,
    suffix: Annotated[str | None, typer.Option(help="How the model's name ends.")] = None,
    validation: Annotated[str | None, typer.Option(help="As --data; what is not trained on.")] = None,
    method: Annotated[str | None, typer.Option(help="sft, dpo, orpo or kto.")] = None,
    hardware: Annotated[str | None, typer.Option(help="As GET /api/v1/fine-tuning/hardware names it.")] = None,
    hyperparameter: Annotated[
        list[str] | None, typer.Option("--hyperparameter", "-p", help="As epochs=3 or learningRate=auto; repeat it.")
    ] = None,
    export: Annotated[list[str] | None, typer.Option(help="As merged or gguf-q8_0; repeat it.")] = None,
    max_cost: MaxCost = None,
    description: Annotated[str | None, typer.Option()] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="A repeated create with the same key is one job.")] = None,
    watch: Watch = False,
) -> Shown:
    """Begin a job.

    Example: luthier jobs create --data train.jsonl --base-model llama-3.1-8b --suffix tickets -p epochs=3 --watch
    """
    from luthier.cli.files import dataset_of
    from luthier.cli.orders import order

    options = given(
        name=name, base_model=base_model, training_dataset=data, validation_file=validation, suffix=suffix,
        hardware=hardware, method=method, exports=export, max_cost=max_cost, description=description,
    )  # fmt: skip
    fields = order(file, options, hyperparameter or [])
    for place in ("training_dataset", "validation_file"):
        if fields.get(place):
            # The same key has to mean the same files, or the repeated job would be another one.
            key = given(idempotency_key=idempotency_key and f"{idempotency_key}-{place}")
            fields[place] = dataset_of(client, str(fields[place]), fields.get("method"), **key)
    return _begun(client, client.fine_tuning.jobs.create(**fields, **given(idempotency_key=idempotency_key)), watch)


def _begun(client: "Luthier", job: Any, watch: bool) -> Shown:
    from luthier.cli.watching import job_facts, watch_job

    if not watch:
        return Shown(job, f"{job.id} is {job.status}. To follow it: luthier jobs watch {job.id}")
    typer.echo(f"{job.id} is {job.status}.", err=True)
    ended = watch_job(client, job.id)
    return Shown(ended, job_facts(ended))


@app.command("list")
@asking
def list_jobs(
    client: "Luthier",
    status: Annotated[
        str | None, typer.Option(help="queued, running, completed, failed, or stopped (paused ones too).")
    ] = None,
    base_model: Annotated[str | None, typer.Option()] = None,
    search: Annotated[str | None, typer.Option(help="A part of the name or the description.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
) -> Shown:
    """List jobs, newest first.

    Example: luthier jobs list --status running
    """
    from luthier.cli.showing import table

    asked = given(status=status, base_model=base_model, search=search, limit=min(limit, 100))
    rows = list(islice(client.fine_tuning.jobs.list(**asked), limit))
    shown = table(rows, id="id", name="name", status="status", base_model="base_model", created="created_at")
    return Shown(rows, shown)


@app.command()
@asking
def get(client: "Luthier", job_id: JobId) -> Shown:
    """Show a job: its state, why, its progress, its cost and its model.

    Example: luthier jobs get ftjob_01k9j3v6x2m8q4r7t5w0y1z3ab
    """
    from luthier.cli.watching import job_facts

    job = client.fine_tuning.jobs.get(job_id)
    return Shown(job, job_facts(job))


@app.command()
@asking
def stop(client: "Luthier", job_id: JobId) -> Shown:
    """End a job after a checkpoint, from which `restart` goes on.

    Example: luthier jobs stop ftjob_01k9j3v6x2m8q4r7t5w0y1z3ab
    """
    changed = client.fine_tuning.jobs.stop(job_id)
    return Shown(changed, f"{changed.id} is {changed.status}. {changed.message}")


@app.command()
@asking
def restart(
    client: "Luthier",
    job_id: JobId,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Not from the last checkpoint.")] = False,
    max_cost: MaxCost = None,
    watch: Watch = False,
) -> Shown:
    """Let a stopped or failed job go on from its last checkpoint.

    Example: luthier jobs restart ftjob_01k9j3v6x2m8q4r7t5w0y1z3ab --watch
    """
    asked = given(from_scratch=from_scratch or None, max_cost=max_cost)
    return _begun(client, client.fine_tuning.jobs.restart(job_id, **asked), watch)


@app.command()
@asking
def pause(client: "Luthier", job_id: JobId) -> Shown:
    """Let a job rest after a checkpoint.

    Example: luthier jobs pause ftjob_01k9j3v6x2m8q4r7t5w0y1z3ab
    """
    changed = client.fine_tuning.jobs.pause(job_id)
    return Shown(changed, f"{changed.job_id} is {changed.status}.")


@app.command()
@asking
def resume(client: "Luthier", job_id: JobId, max_cost: MaxCost = None, watch: Watch = False) -> Shown:
    """Let a paused job go on, with a higher cap where it had reached its own.

    Example: luthier jobs resume ftjob_01k9j3v6x2m8q4r7t5w0y1z3ab --max-cost 80
    """
    from luthier.cli.watching import job_facts, watch_job

    changed = client.fine_tuning.jobs.resume(job_id, **given(max_cost=max_cost))
    if watch:
        ended = watch_job(client, job_id)
        return Shown(ended, job_facts(ended))
    return Shown(changed, f"{changed.job_id} is {changed.status}. To follow it: luthier jobs watch {changed.job_id}")
