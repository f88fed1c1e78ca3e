"""`luthier datasets`: checked here, checked there, mended, previewed."""

import json
from pathlib import Path

import pytest

from luthier.client.api.files import FileReport
from tests.clients import no_pauses
from tests.factories import BASE_MODEL, principal, rows
from tests.functional.api.test_file_repairs import ALIEN, NONSENSE
from tests.functional.cli.terminal import Terminal
from tests.functional.processing import world
from tests.previewed import PREVIEW


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_bytes(rows(3))
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(rows(2) + ALIEN + NONSENSE)
    return path


def test_a_file_is_validated_without_a_platform_as_the_platform_does_it(
    terminal: Terminal, bad: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = terminal.platform.datasets.upload(
        principal(), filename=bad.name, purpose="fine-tune", content=bad.read_bytes()
    )
    there = terminal.json("datasets", "validate", sent.id, status=2)
    assert there == terminal.api.get(f"/v1/files/{sent.id}/report").json()
    monkeypatch.delenv("LUTHIER_API_KEY")
    monkeypatch.delenv("LUTHIER_BASE_URL")
    here = terminal.json("datasets", "validate", bad, status=2)
    beyond = {"id", "status_details"}
    assert set(here) == set(FileReport.model_fields) - beyond
    assert here == {name: value for name, value in there.items() if name not in beyond}


def test_a_verdict_is_a_sentence_and_a_row_per_kind_of_fault(terminal: Terminal, good: Path, bad: Path) -> None:
    assert "train.jsonl can be trained on: 3 rows of messages" in terminal.shown("datasets", "validate", good)
    ended = terminal.run("datasets", "validate", bad)
    assert ended.exit_code == 2
    assert "bad.jsonl cannot be trained on" in ended.stdout
    assert "invalid_json" in ended.stdout
    assert "wrong_columns" in terminal.run("datasets", "validate", good, "--method", "dpo").stdout


def test_what_is_no_file_and_no_method_is_told(terminal: Terminal, good: Path) -> None:
    assert "There is no file ./none.jsonl" in terminal.refused(3, "datasets", "validate", "./none.jsonl")
    assert "file-none" in terminal.refused(3, "datasets", "validate", "file-none")
    terminal.refused(2, "datasets", "validate", good, "--method", "dop")
    assert "none.jsonl" in terminal.refused(2, "datasets", "upload", "none.jsonl")


def test_a_file_is_uploaded_and_waited_for(terminal: Terminal, good: Path) -> None:
    made = terminal.json("datasets", "upload", good, "--purpose", "evals", "--idempotency-key", "k")
    assert made == terminal.api.get(f"/v1/files/{made['id']}").json()
    assert (made["filename"], made["purpose"], made["status"], made["rows"]) == ("train.jsonl", "evals", "processed", 3)
    again = terminal.json("datasets", "upload", good, "--purpose", "evals", "--idempotency-key", "k")
    assert again["id"] == made["id"]
    assert "is processed: 3 rows" in terminal.shown("datasets", "upload", good)
    assert [row["id"] for row in terminal.json("datasets", "list", "--purpose", "evals")] == [made["id"]]
    assert made["id"] in terminal.shown("datasets", "list")


def test_an_uploaded_file_that_cannot_be_trained_on_is_there_and_said_to_be_bad(terminal: Terminal, bad: Path) -> None:
    ended = terminal.run("datasets", "upload", bad, "--json")
    assert ended.exit_code == 7
    file = json.loads(ended.stdout)
    assert file["status"] == "error"
    assert f"luthier datasets validate {file['id']}" in ended.stderr


def test_a_file_is_repaired_into_a_new_one_whose_content_comes_here(
    terminal: Terminal, bad: Path, tmp_path: Path
) -> None:
    old = json.loads(terminal.run("datasets", "upload", bad, "--json").stdout)["id"]
    target = tmp_path / "mended.jsonl"
    made = terminal.json("datasets", "repair", old, "--output", target)
    assert (made["repair"]["source"], made["repair"]["rows_kept"], made["repair"]["rows_dropped"]) == (old, 3, 1)
    assert len(target.read_text().splitlines()) == 3
    assert "can be trained on" in terminal.shown("datasets", "validate", target)
    assert "1 invalid_json" in terminal.shown("datasets", "repair", old)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_preview_is_waited_for_and_shows_what_is_trained(
    terminal: Terminal, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = terminal.json("datasets", "upload", good)["id"]
    path = f"/v1/files/{file}/preview?model={BASE_MODEL}"

    def finish(_: float) -> None:
        made = terminal.platform.processings.get("org_a", terminal.api.get(path).json()["processing_id"])
        world.finish(terminal.platform, made, {"preview.json": PREVIEW})

    no_pauses(monkeypatch, finish)
    shown = terminal.shown("datasets", "preview", file, "--model", BASE_MODEL)
    assert "Hi there, you" in shown
    assert "line 2, risk: truncated" in shown
    assert terminal.json("datasets", "preview", file, "--model", BASE_MODEL) == terminal.api.get(path).json()
