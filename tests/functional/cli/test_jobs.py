"""`luthier jobs` against the real functions."""

import json
from pathlib import Path

import pytest

from luthier.jobs.logs import JobLogs, LogLine
from tests.clients import no_pauses
from tests.factories import BASE_MODEL, metrics_line, rows
from tests.functional.cli.terminal import Terminal

JOBS = "/api/v1/fine-tuning/jobs"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.jsonl"
    path.write_bytes(rows(4))
    return path


def test_a_job_is_made_of_a_file_of_this_machine(terminal: Terminal, data: Path) -> None:
    made = terminal.json(
        "jobs", "create", "--data", data, "--base-model", BASE_MODEL, "--suffix", "v1",
        "-p", "epochs=2", "-p", "learning_rate=auto", "--max-cost", 50,
    )  # fmt: skip
    job = terminal.api.get(f"{JOBS}/{made['id']}").json()
    assert (job["name"], job["hyperparameters"]["epochs"], job["cost"]["cap"]) == ("v1", 2, 50)
    assert "learningRate" in job["autoHyperparameters"]
    assert terminal.api.get(f"/v1/files/{job['trainingDataset']}").json()["filename"] == "tickets.jsonl"


def test_a_job_is_made_of_a_file_with_its_fields_and_options_go_before_them(terminal: Terminal, tmp_path: Path) -> None:
    fields = f'base_model = "{BASE_MODEL}"\ndata = "{terminal.platform.dataset().id}"\nname = "of the file"\n'
    order = tmp_path / "job.toml"
    order.write_text(f"{fields}[hyperparameters]\nepochs = 2\nloraRank = 4\n")
    made = terminal.json("jobs", "create", "--file", order, "--name", "of the option", "-p", "epochs=3")
    job = terminal.api.get(f"{JOBS}/{made['id']}").json()
    assert (job["name"], job["hyperparameters"]["epochs"], job["hyperparameters"]["loraRank"]) == (
        "of the option", 3, 4,
    )  # fmt: skip
    as_json = tmp_path / "job.json"
    as_json.write_text(json.dumps({"baseModel": BASE_MODEL, "trainingDataset": terminal.platform.dataset().id}))
    assert "is queued" in terminal.shown("jobs", "create", "--file", as_json)


def test_what_is_wrong_with_an_order_is_said_before_anything_is_sent(terminal: Terminal, tmp_path: Path) -> None:
    order = tmp_path / "job.toml"
    order.write_text('base_modell = "x"')
    assert "unknown field base_modell" in terminal.refused(2, "jobs", "create", "--file", order)
    order.write_text("base_model = ")
    assert "cannot be read" in terminal.refused(2, "jobs", "create", "--file", order)
    assert "training_dataset is missing" in terminal.refused(2, "jobs", "create", "--base-model", BASE_MODEL)
    asked = ("jobs", "create", "--base-model", BASE_MODEL, "--data")
    assert "names no value" in terminal.refused(2, *asked, "x", "-p", "epochs")
    assert "There is no file" in terminal.refused(3, *asked, "./none.jsonl")
    assert "none.toml" in terminal.refused(2, "jobs", "create", "--file", tmp_path / "none.toml")
    assert terminal.network.requests == []


def test_a_file_that_cannot_be_trained_on_is_told_of_and_not_uploaded(terminal: Terminal, data: Path) -> None:
    data.write_text('{"messages": []}\n{"mess\n')
    said = terminal.refused(2, "jobs", "create", "--data", data, "--base-model", BASE_MODEL)
    assert "empty_messages" in said
    assert "invalid_json" in said
    assert "nothing was uploaded" in said
    assert terminal.network.requests == []


def test_a_repeated_create_with_one_key_is_one_job_of_one_file(terminal: Terminal, data: Path) -> None:
    words = ("jobs", "create", "--data", data, "--base-model", BASE_MODEL, "--idempotency-key", "k")
    assert terminal.json(*words) == terminal.json(*words)
    assert len(terminal.json("datasets", "list")) == 1


def test_what_the_platform_refuses_comes_in_a_sentence_with_its_request(terminal: Terminal) -> None:
    words = ("jobs", "create", "--data", terminal.platform.dataset().id, "--base-model", BASE_MODEL)
    said = terminal.refused(2, *words, "-p", "learning_rat=1")
    assert "learningRat" in said
    assert "[unknown_hyperparameter, request req_" in said
    assert len(said.splitlines()) == 1


def test_jobs_are_listed_as_the_api_lists_them(terminal: Terminal) -> None:
    made = [terminal.platform.job(name=f"job {i}") for i in range(3)]
    assert terminal.json("jobs", "list") == terminal.api.get(JOBS).json()["jobs"]
    assert [row["id"] for row in terminal.json("jobs", "list", "--limit", 2)] == [made[2].id, made[1].id]
    shown = terminal.shown("jobs", "list", "--status", "queued")
    assert all(job.id in shown for job in made)
    assert "There are none." in terminal.shown("jobs", "list", "--status", "failed")


def test_a_job_is_shown_as_the_api_shows_it(terminal: Terminal) -> None:
    job = terminal.platform.failed()
    assert terminal.json("jobs", "get", job.id) == terminal.api.get(f"{JOBS}/{job.id}").json()
    shown = terminal.shown("jobs", "get", job.id)
    assert "m h [oom]" in shown
    assert "ftjob_none" in terminal.refused(3, "jobs", "get", "ftjob_none")


def test_a_name_cannot_steer_the_terminal(terminal: Terminal) -> None:
    job = terminal.platform.job(name="\x1b[31m[red]bold[/red]")
    for words in (("jobs", "list"), ("jobs", "get", job.id)):
        shown = terminal.shown(*words)
        assert "[31m[red]bold[/red]" in shown
        assert "\x1b" not in shown


def test_a_job_is_stopped_and_restarted_paused_and_resumed(terminal: Terminal) -> None:
    job = terminal.platform.launched()
    assert "stopped" in terminal.shown("jobs", "stop", job.id)
    said = terminal.refused(2, "jobs", "stop", terminal.platform.completed().id)
    assert "state_conflict" in said
    failed = terminal.platform.failed()
    assert terminal.json("jobs", "restart", failed.id, "--from-scratch")["status"] == "queued"
    other = terminal.platform.launched()
    assert terminal.json("jobs", "pause", other.id)["status"] in ("pausing", "paused")
    paused = terminal.platform.job()
    terminal.json("jobs", "pause", paused.id)
    assert terminal.json("jobs", "resume", paused.id, "--max-cost", 60)["cost"]["cap"] == 60


def test_the_log_is_shown_and_followed_to_the_end_of_the_job(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = terminal.platform.launched()
    one, two = (LogLine("2026-01-01T00:00:01Z", "INFO", text) for text in ("one", "two"))
    said = [[one], [one, one, two]]
    monkeypatch.setattr(JobLogs, "tail", lambda *_, **__: said[0] if len(said) == 1 else said.pop(0))
    no_pauses(monkeypatch, lambda _: terminal.platform.complete(terminal.platform.fresh(job)))
    lines = terminal.shown("jobs", "logs", job.id, "--follow").splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["one", "one", "two"]
    said.insert(0, [])
    assert "nothing yet" in terminal.shown("jobs", "logs", job.id)
    assert len(terminal.json("jobs", "logs", job.id)["logs"]) == 3
    (last,) = terminal.shown("jobs", "logs", job.id, "--follow", "--lines", 1, "--json").splitlines()
    assert json.loads(last)["message"] == "two"


def test_metrics_are_drawn_and_are_the_apis_as_json(terminal: Terminal) -> None:
    job = terminal.platform.launched()
    assert "No loss is written yet." in terminal.shown("jobs", "metrics", job.id)
    terminal.platform.watcher.metrics_written(
        terminal.platform.write_metrics(job, *(metrics_line(step) for step in range(1, 9)))
    )
    shown = terminal.shown("jobs", "metrics", job.id)
    assert "█" in shown
    assert "2.0000 │" in shown
    assert terminal.json("jobs", "metrics", job.id) == terminal.api.get(f"{JOBS}/{job.id}/metrics").json()


def test_an_estimate_counts_the_rows_of_a_file(terminal: Terminal, data: Path) -> None:
    told = terminal.json("jobs", "estimate", "--base-model", BASE_MODEL, "--data", data)
    assert (told["datasetSize"], told["currency"]) == (4, "USD")
    assert terminal.json("jobs", "estimate", "--base-model", BASE_MODEL, "--rows", 4) == told
    assert "USD" in terminal.shown("jobs", "estimate", "--base-model", BASE_MODEL, "--rows", 4)
    terminal.refused(2, "jobs", "estimate", "--base-model", BASE_MODEL)
    data.write_text("no row")
    assert "datasets validate" in terminal.refused(2, "jobs", "estimate", "--base-model", BASE_MODEL, "--data", data)
