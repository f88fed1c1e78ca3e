"""`luthier jobs watch`: what is said while a job runs, and how the command ends."""

from collections.abc import Callable
from typing import Any

import pytest

from luthier.cli import showing, watching
from luthier.jobs.entity import Job
from tests.clients import no_pauses
from tests.factories import BASE_MODEL, metrics_line
from tests.functional.cli.terminal import Terminal


def played(terminal: Terminal, job: Job, monkeypatch: pytest.MonkeyPatch, end: Callable[[Job], Any]) -> None:
    """While nobody sleeps, a queued job starts, writes its losses, and ends."""
    platform = terminal.platform
    steps = iter(
        [
            lambda: platform.watcher.metrics_written(
                platform.write_metrics(platform.launch(job), *(metrics_line(step) for step in range(1, 9)))
            ),
            lambda: end(platform.fresh(job)),
        ]
    )
    no_pauses(monkeypatch, lambda _: next(steps, lambda: None)())


def test_a_job_is_watched_from_its_creation_to_its_model(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = terminal.platform.dataset().id
    platform = terminal.platform

    def progress(_: float) -> None:
        (row,) = terminal.api.get("/api/v1/fine-tuning/jobs").json()["jobs"]
        platform.complete(platform.launch(platform.fresh_by_id(row["id"])))

    no_pauses(monkeypatch, progress)
    ended = terminal.json("jobs", "create", "--data", dataset, "--base-model", BASE_MODEL, "--watch")
    assert ended == terminal.api.get(f"/api/v1/fine-tuning/jobs/{ended['id']}").json()
    assert ended["status"] == "completed"
    assert ended["resultModel"]


def test_each_change_is_a_line_where_there_is_no_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    job = terminal.platform.job(max_cost=50)
    played(terminal, job, monkeypatch, terminal.platform.complete)
    watched = terminal.run("jobs", "watch", job.id)
    assert watched.exit_code == 0
    queued, running, completed = watched.stderr.splitlines()
    assert queued.startswith("queued, ")
    assert "running: training, step 8 of 10 (80 %), loss 0.2500, " in running
    assert "50.00 USD at most" in running
    assert completed.startswith("completed")
    assert terminal.platform.fresh(job).result_model in watched.stdout


def test_a_terminal_shows_bar_losses_and_cost(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    job = terminal.platform.job(max_cost=50)
    played(terminal, job, monkeypatch, terminal.platform.complete)
    make = showing.console

    def screen(*, err: bool = False) -> Any:
        made = make(err=err)
        made._force_terminal, made.width = True, 100
        return made

    monkeypatch.setattr(watching, "console", screen)
    watched = terminal.run("jobs", "watch", job.id)
    assert watched.exit_code == 0, watched.output
    assert "completed" in watched.stderr
    assert "█" in watched.stderr
    assert "50.00 USD at most" in watched.stderr


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_job_that_fails_ends_the_command_with_7(terminal: Terminal, as_json: list[str]) -> None:
    job = terminal.platform.failed()
    ended = terminal.run("jobs", "watch", job.id, *as_json)
    assert ended.exit_code == 7
    assert f"{job.id}: m h [oom]" in ended.stderr
    assert ('"status": "failed"' in ended.stdout) == bool(as_json)


def test_a_job_that_is_stopped_or_rests_is_not_taken_for_completed(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = terminal.platform.job()
    played(terminal, job, monkeypatch, lambda job: terminal.api.post(f"/api/v1/fine-tuning/jobs/{job.id}/stop"))
    assert "luthier jobs restart" in terminal.refused(7, "jobs", "watch", job.id)
    rests = terminal.platform.job()
    terminal.api.post(f"/v1/fine-tune/{rests.id}/pause")
    assert "luthier jobs resume" in terminal.refused(7, "jobs", "watch", rests.id)


def test_ctrl_c_ends_the_watching_and_not_the_job(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    job = terminal.platform.job()

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    no_pauses(monkeypatch, interrupt)
    said = terminal.refused(130, "jobs", "watch", job.id)
    assert f"{job.id} goes on. To end it: luthier jobs stop {job.id}" in said
    assert terminal.platform.fresh(job).status == "queued"


def test_an_outage_of_minutes_is_outlasted(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    job = terminal.platform.launched()

    def spoil(_: float) -> None:
        if not terminal.network.faults and terminal.platform.fresh(job).status != "completed":
            terminal.network.faults = ["before"] * 5
            terminal.platform.complete(terminal.platform.fresh(job))

    no_pauses(monkeypatch, spoil)
    assert terminal.json("jobs", "watch", job.id)["status"] == "completed"
