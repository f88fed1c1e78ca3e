"""`luthier move-in export`: what an OpenAI account still has becomes plain files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from luthier.cli import app
from luthier.cli.move_in import asking
from tests.factories import rows
from tests.functional.cli.openai_source import KEY, OpenAI, old_job, serving


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAI]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name in ("OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(asking, "sleep", lambda seconds: None)
    with serving(OpenAI()) as source:
        for number in (1, 2, 3):
            source.add(old_job(number), rows(number))
        yield source


def export(source: OpenAI, folder: Path, status: int = 0) -> Result:
    found = CliRunner().invoke(app, ["move-in", "export", "--to", str(folder), "--from-url", source.url])
    assert found.exit_code == status, found.output
    assert KEY not in found.output
    return found


def contents(source: OpenAI) -> list[str]:
    return [path for path in source.asked if path.endswith("/content")]


def test_everything_is_fetched_page_by_page(source: OpenAI, tmp_path: Path) -> None:
    said = export(source, tmp_path / "openai").output
    assert "3 jobs and 6 files" in said
    for number in (1, 2, 3):
        place = tmp_path / "openai" / "jobs" / f"ftjob-{number}"
        assert json.loads(place.with_suffix(".json").read_text()) == old_job(number)
        assert len(place.with_suffix(".events.jsonl").read_text().splitlines()) == 3
        assert len(place.with_suffix(".checkpoints.jsonl").read_text().splitlines()) == 2
        files = tmp_path / "openai" / "files"
        assert (files / f"file-train{number}.jsonl").read_bytes() == rows(number)
        assert json.loads((files / f"file-train{number}.json").read_text())["filename"] == "train.jsonl"
        # OpenAI sends it in base64.
        assert (files / f"file-result{number}.csv").read_text().startswith("step,train_loss")
    assert any("after=ftjob-2" in path for path in source.asked)


def test_what_is_there_is_not_fetched_again(source: OpenAI, tmp_path: Path) -> None:
    export(source, tmp_path)
    source.asked.clear()
    source.add(old_job(4), rows(4))
    assert "2 contents fetched now" in export(source, tmp_path).output
    assert sorted(contents(source)) == ["/v1/files/file-result4/content", "/v1/files/file-train4/content"]
    assert [path for path in source.asked if "events" in path and "ftjob-4" not in path] == []


def test_events_of_a_job_that_was_running_are_fetched_anew(source: OpenAI, tmp_path: Path) -> None:
    source.jobs[0] = old_job(3, status="running", fine_tuned_model=None)
    export(source, tmp_path)
    source.asked.clear()
    source.jobs[0] = old_job(3)
    export(source, tmp_path)
    assert {path.split("?")[0] for path in source.asked if "events" in path} == {"/v1/fine_tuning/jobs/ftjob-3/events"}
    assert json.loads((tmp_path / "jobs" / "ftjob-3.json").read_text())["status"] == "succeeded"


def test_a_file_that_has_expired_is_told_and_the_rest_is_fetched(source: OpenAI, tmp_path: Path) -> None:
    del source.files["file-train2"], source.contents["file-train2"]
    said = export(source, tmp_path).output
    assert "Not to be had: file-train2" in said
    assert "404" in said
    assert (tmp_path / "files" / "file-train3.jsonl").exists()
    assert not (tmp_path / "files" / "file-train2.jsonl").exists()


def test_a_dataset_that_no_job_uses_is_fetched_and_what_is_no_dataset_is_not(source: OpenAI, tmp_path: Path) -> None:
    source.add_file("file-spare", rows(9))
    source.add_file("file-batch", b"{}", purpose="batch")
    export(source, tmp_path)
    assert (tmp_path / "files" / "file-spare.jsonl").read_bytes() == rows(9)
    assert not list((tmp_path / "files").glob("file-batch*"))


def test_what_passes_is_tried_again(source: OpenAI, tmp_path: Path) -> None:
    source.failures, source.cut = [500, 429, 503], 2
    export(source, tmp_path)
    assert (tmp_path / "files" / "file-train1.jsonl").read_bytes() == rows(1)


def test_an_export_that_is_cut_off_leaves_whole_files_only_and_goes_on(
    source: OpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for most in range(1, 40):
        left, get = [most], asking.Api._tried

        def dying(api: Any, *sent: Any, left: list[int] = left, get: Any = get, **options: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
            return get(api, *sent, **options)

        with monkeypatch.context() as patched:
            patched.setattr(asking.Api, "_tried", dying)
            folder = tmp_path / str(most)
            ended = CliRunner().invoke(app, ["move-in", "export", "--to", str(folder), "--from-url", source.url])
        for path in folder.rglob("*.jsonl"):
            assert [json.loads(line) for line in path.read_text().splitlines()]
        assert not list(folder.rglob("*.part"))
        export(source, folder)
        assert len(list(folder.rglob("*.*"))) == 3 * 3 + 6 * 2
        if ended.exit_code == 0:
            break
    else:
        raise AssertionError("The export never came to its end.")


def test_a_wrong_key_is_told_without_it(source: OpenAI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-0987654321")
    said = export(source, tmp_path, 2).output
    assert "does not know the key in OPENAI_API_KEY" in said
    assert "sk-wrong" not in said
    assert "4321" not in said
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "OPENAI_API_KEY is not set" in export(source, tmp_path, 2).output


def test_a_key_is_not_told_where_the_api_repeats_it(source: OpenAI, tmp_path: Path) -> None:
    source.failures = [418]
    assert "Try later, …" in export(source, tmp_path, 2).output


def test_an_address_that_nothing_answers_at_is_told(source: OpenAI, tmp_path: Path) -> None:
    for url, status, said in (
        ("http://127.0.0.1:9/v1", 1, "could not be reached"),
        (source.url.removesuffix("/v1"), 2, "404"),
        ("nonsense", 1, "could not be reached"),
    ):
        found = CliRunner().invoke(app, ["move-in", "export", "--to", str(tmp_path), "--from-url", url])
        assert (found.exit_code, said in found.output) == (status, True), found.output


def test_an_id_that_is_a_path_is_refused(source: OpenAI, tmp_path: Path) -> None:
    source.jobs[0] = old_job(3, training_file="../../escaped")
    assert "no file can be called" in export(source, tmp_path / "in", 2).output
    assert not list(tmp_path.glob("*escaped*"))


def test_a_place_that_cannot_be_written_to_is_told(source: OpenAI, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "Not a directory" in export(source, tmp_path / "file", 2).output
