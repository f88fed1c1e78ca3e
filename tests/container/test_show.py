"""The job that previews a file: which rows it shows, what it says of each, and where its answer ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.container.programs import run
from tests.container.rows import CONVERSATION, LATE, LONG, PREFERENCE, good, lines, row
from tests.previewed import PREVIEW
from trainer import show
from trainer.failures import Failure
from trainer.preview import preview
from trainer.templates import fingerprint


@pytest.fixture
def inputs(tiny: Path, tmp_path: Path) -> Path:
    """The channels of a job; tests put a file into train/."""
    folder = tmp_path / "input" / "data"
    (folder / "train").mkdir(parents=True)
    (folder / "base").symlink_to(tiny)
    return folder


def shown(
    inputs: Path, content: bytes, *, line: int | None = None, count: int = 20, length: int = 40
) -> dict[str, Any]:
    (inputs / "train" / "rows of ours.txt").write_bytes(content)
    return show.shown(inputs, "sft", length, count, line)


def test_the_job_leaves_the_riskiest_rows_and_totals_of_the_whole_file(inputs: Path, tokenizer: Any) -> None:
    root = inputs.parents[1]
    (inputs / "train" / "train.jsonl").write_bytes(lines(good(1), LONG, LATE, good(1), good(2)))
    asked = ("--method", "sft", "--max-sequence-length", "40", "--rows", "3")
    assert run("trainer.show", "--root", root, *asked, "train").exit_code == 0
    content = json.loads((root / "model" / "preview.json").read_text())
    assert [(one["line"], one["risk"]) for one in content["rows"]] == [
        (3, "no_trained_token"),
        (2, "truncated"),
        (1, "none"),
    ]
    assert (content["truncated_rows"], content["dropped_rows"], content["examples"]) == (2, 1, 4)
    assert content["counts"] == {"duplicate_row": 1, "answer_cut_off": 1, "truncated": 1}
    assert (content["method"], content["max_sequence_length"]) == ("sft", 40)
    assert content["template_sha256"] == fingerprint(tokenizer)
    assert [finding["code"] for finding in content["rows"][1]["findings"]] == ["truncated"]
    assert content["rows"][1]["sequences"] == preview(tokenizer, row(LONG), 40)["sequences"]


def keys(value: Any) -> Any:
    """Which keys a document has, and where."""
    if isinstance(value, dict):
        return {name: keys(inner) for name, inner in value.items() if name != "counts"}
    return keys(value[0]) if isinstance(value, list) and value else None


def test_the_preview_has_the_keys_that_the_platform_reads(inputs: Path) -> None:
    assert keys(shown(inputs, lines(good(1), LONG), length=40)) == keys(PREVIEW)


def test_one_row_is_shown_by_its_line(inputs: Path, tokenizer: Any) -> None:
    (only,) = shown(inputs, lines(LONG, good(1)), line=2)["rows"]
    assert only == {"line": 2, "risk": "none", "message": None, "findings": []} | preview(tokenizer, row(good(1)), 40)


def test_good_rows_of_a_bad_file_are_shown_and_a_bad_row_says_why_not(inputs: Path) -> None:
    content = lines(good(1), "nonsense", CONVERSATION)
    assert [one["line"] for one in shown(inputs, content)["rows"]] == [1]
    (bad,) = shown(inputs, content, line=2)["rows"]
    assert (bad["sequences"], bad["risk"], bad["format"]) == ([], None, None)
    assert "JSON" in bad["message"]
    assert [finding["code"] for finding in bad["findings"]] == ["invalid_json"]


def test_rows_for_which_an_answer_has_no_room_are_named_without_their_tokens(
    inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = lines(good(1), LONG, good(2))
    whole = shown(inputs, content)
    sizes = {one["line"]: len(json.dumps(one)) for one in whole["rows"]}
    monkeypatch.setattr(show, "MAX_BYTES", sizes[1] + sizes[3])
    long, *others = shown(inputs, content)["rows"]
    assert (long["line"], long["risk"], long["sequences"]) == (2, "truncated", [])
    assert long["message"].endswith("--preview-line 2")
    assert others == whole["rows"][1:]


def test_a_file_without_a_row_that_fits_shows_none(inputs: Path) -> None:
    assert shown(inputs, lines(PREFERENCE))["rows"] == []


def test_a_channel_without_a_file_is_refused(inputs: Path) -> None:
    with pytest.raises(Failure, match="has 0 files"):
        show.shown(inputs, "sft", 40, 20, None)


def test_a_broken_base_model_fails_the_job_and_says_so(inputs: Path, tmp_path: Path) -> None:
    (inputs / "base").unlink()
    (inputs / "base").mkdir()
    (inputs / "train" / "train.jsonl").write_bytes(lines(good(1)))
    asked = ("--method", "sft", "--max-sequence-length", "40")
    assert run("trainer.show", "--root", tmp_path, *asked).exit_code == 2
    assert json.loads((tmp_path / "output" / "failure").read_text())["code"] == "bad_base_model"
    assert not (tmp_path / "model").exists()
