"""What `luthier move-in` finds in a folder that somebody has saved by hand, and what it says where it cannot."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from luthier.cli import app
from luthier.cli.move_in.folder import read
from luthier.cli.move_in.plans import plans
from luthier.cli.stop import Stop
from luthier.jobs.openai_schema import CreateFineTuningJob
from tests.factories import rows
from tests.functional.cli.openai_source import OLD_NAME, file_object, old_job


def saved(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        (folder / name.replace("__", ".")).write_bytes(content)
    return folder


def lines(*objects: Any) -> bytes:
    return b"\n".join(json.dumps(one).encode() for one in objects)


def refused(folder: Path) -> str:
    found = CliRunner().invoke(app, ["move-in", "plan", str(folder)], env={"COLUMNS": "300"})
    assert found.exit_code == 2, found.output
    return found.output


@pytest.mark.parametrize(
    "name_and_content",
    [
        {"jobs__json": {"object": "list", "data": [old_job(1), old_job(2)], "has_more": False}},
        {"jobs__json": [old_job(2), old_job(1)]},
        {"jobs__jsonl": lines(old_job(1), old_job(2))},
        {"a__json": old_job(1), "b__json": old_job(2)},
        {"pages__jsonl": lines({"object": "list", "data": [old_job(1)]}, {"object": "list", "data": [old_job(2)]})},
        {"jobs__json": b"\xef\xbb\xbf" + json.dumps([old_job(1), old_job(2)]).encode()},
    ],
)
def test_jobs_are_found_however_they_were_saved(tmp_path: Path, name_and_content: dict[str, Any]) -> None:
    folder = read(saved(tmp_path, notes__json={"mine": 1}, **name_and_content))
    assert [job["id"] for job in folder.oldest_first] == ["ftjob-1", "ftjob-2"]


def test_a_dataset_is_found_by_its_id_else_by_its_name(tmp_path: Path) -> None:
    files = [file_object("file-a", rows(1)), file_object("file-b", rows(2), filename="other.jsonl")]
    folder = saved(tmp_path, jobs__json=[old_job()], files__json=files, train__jsonl=rows(1), other__jsonl=rows(2))
    saved(tmp_path, **{"file-b__jsonl": rows(3)})
    found = read(folder)
    assert found.content_of("file-a").name == "train.jsonl"
    assert found.content_of("file-b").name == "file-b.jsonl"
    # A row is no file, whatever it speaks of.
    saved(tmp_path, **{"file-d__jsonl": lines({"text": "file"}, {"text": "file"})})
    assert read(folder).content_of("file-d").name == "file-d.jsonl"
    with pytest.raises(Stop, match="The content of file-c is not in the folder"):
        found.content_of("file-c")


def test_of_files_with_one_name_the_size_decides_and_nothing_is_guessed(tmp_path: Path) -> None:
    files = [file_object("file-a", rows(1)), file_object("file-b", rows(2)), file_object("file-c", rows(3))]
    folder = saved(tmp_path, jobs__json=[old_job()], files__json=files, train__jsonl=rows(2))
    (tmp_path / "more").mkdir()
    saved(tmp_path / "more", train__jsonl=rows(3))
    found = read(folder)
    assert found.content_of("file-b") == tmp_path / "train.jsonl"
    assert found.content_of("file-c") == tmp_path / "more" / "train.jsonl"
    with pytest.raises(Stop, match=r"The content of file-a \(train.jsonl\) is not in the folder"):
        found.content_of("file-a")
    saved(tmp_path, files__json=[*files, file_object("file-d", rows(2))])
    with pytest.raises(Stop, match=r"Several files are called train.jsonl.*file-b") as ambiguous:
        read(folder).content_of("file-b")
    assert "file-b.jsonl" in ambiguous.value.remedy


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"jobs__json": b'{\n  "object": "fine_tuning.job",\n  "id": }\n'}, "jobs.json, line 3: Expecting value"),
        ({"jobs__jsonl": lines(old_job(1)) + b'\n\n{"object": "fine_tuning.job", '}, "jobs.jsonl, line 3: "),
        ({"jobs__json": b"[" * 100_000}, "jobs.json, line 1: It is nested too deeply"),
        (
            {"jobs__json": [old_job(1), old_job(2, training_file=None)]},
            "entry 2: the fine_tuning.job has no ",
        ),
        ({"jobs__jsonl": lines(old_job(1), {"object": "file"})}, "jobs.jsonl, line 2: the file has no id"),
        ({"notes__json": {}, "train__jsonl": rows(1)}, "holds no fine-tuning job"),
    ],
)
def test_what_cannot_be_read_is_named_by_file_and_line(tmp_path: Path, files: dict[str, Any], said: str) -> None:
    assert said in refused(saved(tmp_path, **files))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert "luthier move-in export --to" in refused(tmp_path / "none")


def test_a_note_of_what_was_moved_that_cannot_be_read_stops_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LUTHIER_API_KEY", "lt_key")
    folder = saved(tmp_path, jobs__json=[old_job()], moved__json=b"{", **{"file-train1__jsonl": rows(1)})
    found = CliRunner().invoke(app, ["move-in", "run", str(folder), "--all", "--base", "b"])
    assert (found.exit_code, "moved.json cannot be read" in found.output) == (2, True), found.output


@pytest.mark.parametrize(
    ("told", "wish"),
    [
        ({"user_provided_suffix": None}, {"suffix": "support"}),
        ({"user_provided_suffix": "My bot, v2!"}, {"suffix": "My-bot-v2"}),
        ({"user_provided_suffix": None, "fine_tuned_model": "ft:gpt-4o:acme::x"}, {"suffix": None}),
        ({"seed": 2**40}, {"seed": None}),
        ({"method": None, "hyperparameters": {"n_epochs": 4, "batch_size": "auto"}},
         {"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 4, "batch_size": "auto"}}}}),
        ({"metadata": None}, {"metadata": {"moved_from": "ftjob-1", "moved_name": OLD_NAME}}),
    ],
)  # fmt: skip
def test_a_job_is_asked_for_in_the_platforms_words(tmp_path: Path, told: dict[str, Any], wish: dict[str, Any]) -> None:
    [plan] = plans(read(saved(tmp_path, jobs__json=old_job(**told), **{"file-train1__jsonl": rows(1)})))
    body = plan.body("llama-3.1-8b", "file-new", None)
    CreateFineTuningJob.model_validate_json(json.dumps(body))
    assert {name: body.get(name) for name in wish} == wish
    assert (body["model"], body["training_file"], body["auto_start"]) == ("llama-3.1-8b", "file-new", False)


def test_of_metadata_that_is_full_already_the_last_gives_way(tmp_path: Path) -> None:
    noted = {f"key{n}": "v" for n in range(16)}
    [plan] = plans(read(saved(tmp_path, jobs__json=old_job(metadata=noted), **{"file-train1__jsonl": rows(1)})))
    found = plan.body("base", "file-new", None)["metadata"]
    assert (len(found), found["moved_from"], found["key0"]) == (16, "ftjob-1", "v")
