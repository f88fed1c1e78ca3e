"""What there is to see of a job: while it runs, its log, its losses; and what one would cost."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from luthier.cli.asking import AsJson, Shown, asking, given
from luthier.cli.stop import INTERRUPTED, Stop

if TYPE_CHECKING:
    from luthier.client import Luthier

app = typer.Typer()

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job, as `luthier jobs list` shows it.")]
_ENDED = ("completed", "stopped", "failed")
_PAUSE_SECONDS = 5.0
_MOST_LINES = 1_000


@app.command()
@asking
def watch(client: "Luthier", job_id: JobId) -> Shown:
    """Follow a job until it ends: progress, phase, loss curve and cost. Ctrl-C ends the watching, not the job.

    Exit status: 0 only if it is completed; 7 if it failed, was stopped or rests; 130 after ctrl-C.

    Example: luthier jobs watch ftjob_01k9j3v6x2m8q4r7t5w0y1z3ab
    """
    from luthier.cli.watching import job_facts, watch_job

    job = watch_job(client, job_id)
    return Shown(job, job_facts(job))


@app.command()
@asking
def logs(
    client: "Luthier",
    job_id: JobId,
    lines: Annotated[int, typer.Option(min=1, max=_MOST_LINES, help="The last so many.")] = 100,
    since: Annotated[str | None, typer.Option(help="ISO 8601: lines from then on.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job ends; JSON is one line each.")
    ] = False,
    as_json: AsJson = False,
) -> Shown | None:
    """Read a job's log.

    Example: luthier jobs logs ftjob_01k9j3v6x2m8q4r7t5w0y1z3ab --follow
    """
    from luthier.cli.showing import line, plain

    if not follow:
        answer = client.fine_tuning.jobs.logs(job_id, lines=lines, **given(since=since))
        return Shown(answer, "\n".join(map(_said, answer.logs)) or "There is nothing yet.")
    try:
        for row in _followed(client, job_id, lines, **given(since=since)):
            typer.echo(line(row) if as_json else plain(_said(row)))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    return None


def _followed(client: "Luthier", job_id: str, lines: int, **asked: Any) -> Iterator[Any]:
    """The last lines, then each that comes: what an answer has beyond the one before it."""
    before: Counter[str] | None = None
    while True:
        is_over = client.fine_tuning.jobs.get(job_id).status in _ENDED
        rows = client.fine_tuning.jobs.logs(job_id, lines=_MOST_LINES, **asked).logs
        known = Counter(map(_said, rows[: max(len(rows) - lines, 0)])) if before is None else before
        before = Counter(map(_said, rows))
        for row in rows:
            if known[_said(row)]:
                known[_said(row)] -= 1
            else:
                yield row
        if is_over:
            return
        time.sleep(_PAUSE_SECONDS)


def _said(row: Any) -> str:
    return f"{row.timestamp} {row.level:<5} {row.message}"


@app.command()
@asking
def metrics(client: "Luthier", job_id: JobId) -> Shown:
    """Show a job's loss curve and its last values.

    Example: luthier jobs metrics ftjob_01k9j3v6x2m8q4r7t5w0y1z3ab
    """
    from rich.console import Group

    from luthier.cli.curve import curve
    from luthier.cli.showing import facts
    from luthier.cli.watching import losses

    answer = client.fine_tuning.jobs.metrics(job_id)
    names = ("training_loss", "validation_loss", "current_epoch", "total_epochs", "trained_tokens")
    values = facts(answer.metrics, **{name: name for name in names})
    drawn = "\n".join(curve(losses(answer), height=8)) or "No loss is written yet."
    return Shown(answer, Group(drawn, values))


@app.command()
@asking
def estimate(
    client: "Luthier",
    base_model: Annotated[str, typer.Option(help="Base model.")],
    data: Annotated[Path | None, typer.Option(help="JSONL file here, whose rows are counted.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Instead of --data: how many rows there are.")] = None,
    hardware: Annotated[str | None, typer.Option(help="The base model's own by default.")] = None,
) -> Shown:
    """Say what a job would cost and how long it would take, with default hyperparameters.

    Example: luthier jobs estimate --base-model llama-3.1-8b --data train.jsonl
    """
    from luthier.cli.files import examined
    from luthier.cli.showing import facts, money

    if (data is None) == (rows is None):
        raise Stop("Either --data or --rows has to say how large the dataset is.", "Give one of them.")
    size = rows if data is None else examined(data).rows
    if not size:
        raise Stop(f"{data} has no row that can be trained on.", f"See why: luthier datasets validate {data}")
    answer = client.fine_tuning.estimate_cost(base_model=base_model, dataset_size=size, **given(hardware=hardware))
    shown = facts(
        answer,
        base_model="base_model",
        rows="dataset_size",
        cost=lambda row: money(row.estimated_cost, row.currency),
        minutes="estimated_time_minutes",
        hardware="hardware",
    )
    return Shown(answer, shown)
