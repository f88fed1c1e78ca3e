"""A job while it runs: a bar, its phase, its loss and what it has cost; a line per change where no terminal is."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from luthier.cli.curve import curve
from luthier.cli.showing import console, facts, money, plain
from luthier.cli.stop import FAILED, INTERRUPTED, Stop

if TYPE_CHECKING:
    from luthier.client import Luthier
    from luthier.client.api.fine_tuning_jobs import FineTuningJob


def watch_job(client: "Luthier", job_id: str) -> "FineTuningJob":
    """The job when it has ended well. Raises WorkFailed where it failed, Stop where it rests or was stopped."""
    with _left_running(job_id), _view() as view:
        ended: FineTuningJob = client.fine_tuning.jobs.wait(job_id, on_progress=lambda job: _look(client, job, view))
    if ended.status != "completed":
        raise _rests(client, ended)
    return ended


def _rests(client: "Luthier", job: "FineTuningJob") -> Stop:
    """This surface calls stopped what the other one can tell from paused."""
    why = sentence(job.status_reason) or ""
    if client.fine_tunes.get(job.id).status == "paused":
        remedy = f"To go on: luthier jobs resume {job.id}, with a higher --max-cost where that is why."
        return Stop(f"{job.id} rests. {why}".rstrip(), remedy, FAILED)
    return Stop(f"{job.id} was stopped. {why}".rstrip(), f"To go on: luthier jobs restart {job.id}", FAILED)


def job_facts(job: "FineTuningJob") -> Any:
    return facts(
        job,
        id="id",
        name="name",
        status=lambda job: f"{job.status}, {job.phase}" if job.phase else job.status,
        reason=lambda job: sentence(job.error or job.status_reason),
        base_model="base_model",
        result_model="result_model",
        progress=lambda job: _steps(job),
        loss=lambda job: job.metrics.training_loss,
        validation_loss=lambda job: job.metrics.validation_loss,
        cost=lambda job: _cost(job),
        hardware="hardware",
        method="method",
        dataset="training_file",
        attempt="attempt",
        created="created_at",
        finished="finished_at",
    )


def sentence(reason: Any) -> str | None:
    """A reason with its hint."""
    return f"{reason.message} {reason.hint or ''} [{reason.code}]".replace("  ", " ") if reason else None


@contextmanager
def _left_running(job_id: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"{job_id} goes on. To end it: luthier jobs stop {job_id}", err=True)
        raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _view() -> Iterator["_Live | _Lines"]:
    screen = console(err=True)
    if not screen.is_terminal:
        yield _Lines()
        return
    live = _Live()
    with Live(live.drawn(), console=screen, get_renderable=live.drawn, refresh_per_second=4):
        yield live


def _look(client: "Luthier", job: "FineTuningJob", view: "_Live | _Lines") -> None:
    from luthier.client.errors import ConnectionFailed, ServiceUnavailable

    view.take(job)
    if view.wants_losses and job.metrics.training_loss is not None:
        # A curve that is a few steps behind is no reason to end.
        with suppress(ConnectionFailed, ServiceUnavailable):
            view.losses = losses(client.fine_tuning.jobs.metrics(job.id))


def losses(answer: Any) -> list[float]:
    """The training losses of a job's metrics, by step."""
    return [step.training_loss for step in answer.metrics.steps if step.training_loss is not None]


class _Lines:
    """A line on standard error for each change that a log should keep."""

    wants_losses = False
    losses: list[float] = []

    def __init__(self) -> None:
        self._said = ""

    def take(self, job: "FineTuningJob") -> None:
        said = ", ".join(word for word in (_phase(job), _steps(job), _loss(job), _cost(job)) if word)
        if said != self._said:
            self._said = said
            typer.echo(said, err=True)


class _Live:
    wants_losses = True

    def __init__(self) -> None:
        self.losses: list[float] = []
        self._said = "queued"
        self._bar = Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
        self._task: TaskID = self._bar.add_task("", total=100)

    def take(self, job: "FineTuningJob") -> None:
        progress = job.progress
        share = 100 if job.status == "completed" else progress.percent if progress else 0
        self._bar.update(self._task, description=_phase(job), completed=share or 0)
        left = progress.seconds_remaining if progress else None
        words = (_steps(job), _loss(job), _cost(job), f"{left:.0f} s left" if left and left > 0 else None)
        reason = sentence(job.error or job.status_reason)
        self._said = "\n".join(plain(part) for part in (", ".join(filter(None, words)), reason) if part)

    def drawn(self) -> Group:
        return Group(self._bar, Text(self._said), Text("\n".join(curve(self.losses)), style="cyan"))


def _phase(job: "FineTuningJob") -> str:
    return f"{job.status}: {job.phase}" if job.phase else job.status


def _steps(job: "FineTuningJob") -> str | None:
    progress = job.progress
    if not progress or progress.step is None:
        return None
    share = f" ({progress.percent:.0f} %)" if progress.percent is not None else ""
    return f"step {progress.step} of {progress.total_steps or '?'}{share}"


def _loss(job: "FineTuningJob") -> str | None:
    return None if job.metrics.training_loss is None else f"loss {job.metrics.training_loss:.4f}"


def _cost(job: "FineTuningJob") -> str | None:
    cost = job.cost
    known = [
        f"{money(amount, cost.currency)} {name}"
        for name, amount in (("so far", cost.accrued), ("estimated", cost.estimate), ("at most", cost.cap))
        if amount is not None
    ]
    return ", ".join(known) or None
