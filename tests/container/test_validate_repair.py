"""What `trainer.validate --repair` writes, and what it says of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luthier.datasets.findings import WARNINGS
from tests.container.conftest import Validate
from tests.container.rows import LATE, PREFERENCE, TOOL_USE, good, lines
from tests.planted import PLANTED, Planted
from trainer import validate


def test_a_repaired_file_holds_what_is_good(validated: Validate, tmp_path: Path) -> None:
    spoiled = lines(good(1), '{"prompt": "a"}', good(1), "", good(2))
    code, report = validated(spoiled, "--repair", str(tmp_path / "repaired.jsonl"))
    assert code == 1
    assert (report["repair"]["kept"], report["repair"]["dropped"]["missing_key"]) == (2, 1)
    assert (tmp_path / "repaired.jsonl").read_bytes() == lines(good(1), good(2))
    assert validated(lines(good(1), good(2)))[0] == 0


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: f"{fault.code} {fault.line!s:.40}")
def test_a_repaired_file_has_no_errors(validated: Validate, tmp_path: Path, fault: Planted) -> None:
    """The tiny model's template has no tools, so that rows with them must go."""
    given = ["--method", fault.method, "--repair", str(tmp_path / "repaired.jsonl")]
    _, report = validated(fault.file()[0], *given)
    assert (report["repair"]["ok"], set(report["repair"]["counts"]) - WARNINGS) == (True, set())
    code, report = validated((tmp_path / "repaired.jsonl").read_bytes(), "--method", fault.method)
    assert (code, report["train"][0]["rows"] >= 12) == (0, True)


@pytest.mark.parametrize(
    ("row", "method", "code"),
    [
        (TOOL_USE, "sft", "template_missing"),
        ({**PREFERENCE, "rejected": PREFERENCE["chosen"]}, "dpo", "identical_pair"),
    ],
)
def test_a_repair_of_nothing_but_useless_rows_says_that_nothing_is_left(
    validated: Validate, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: dict[str, Any], method: str, code: str
) -> None:
    given = ["--method", method, "--repair", str(tmp_path / "repaired.jsonl")]
    exit_code, report = validated(lines(row), *given)
    assert (exit_code, report["repair"]["dropped"], report["repair"]["kept"]) == (1, {code: 1}, 0)
    assert (report["repair"]["ok"], report["repair"]["counts"]) == (False, {"empty_file": 1})
    assert "repair: repaired.jsonl cannot be trained on: 0 rows, 1 empty_file.\n" in capsys.readouterr().err


def test_a_repair_says_that_rows_out_of_reach_remain(validated: Validate, tmp_path: Path) -> None:
    given = ["--max-sequence-length", "40", "--repair", str(tmp_path / "repaired.jsonl")]
    code, report = validated(lines(LATE), *given)
    assert (code, report["repair"]["ok"]) == (1, False)
    assert report["repair"]["counts"] == {"answer_cut_off": 1, "no_trained_token": 1}


@pytest.mark.parametrize("option", ["--repair", "--output"])
@pytest.mark.parametrize("spelling", ["train.jsonl", "none/../train.jsonl", "link.jsonl", "validation.jsonl"])
def test_a_result_that_would_overwrite_an_input_is_refused(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str], option: str, spelling: str
) -> None:
    train, validation = tmp_path / "train.jsonl", tmp_path / "validation.jsonl"
    content = lines(good(1), '{"prompt": "a"}')
    train.write_bytes(content)
    validation.write_bytes(content)
    (tmp_path / "none").mkdir()
    (tmp_path / "link.jsonl").symlink_to(train)
    given = ["--train", str(train), "--validation", str(validation), "--model", str(tiny)]
    assert validate.main([*given, option, str(tmp_path / spelling)]) == 1
    assert f"{option} would overwrite {validation if spelling in validation.name else train}" in capsys.readouterr().err
    assert train.read_bytes() == validation.read_bytes() == content
    assert not list(tmp_path.glob(".*"))


def test_a_repaired_file_that_is_no_file_or_the_report_is_refused(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.jsonl").write_bytes(lines(good(1)))
    given = ["--train", str(tmp_path / "train.jsonl"), "--model", str(tiny), "--output", str(tmp_path / "same")]
    for place in (str(tmp_path), "/dev/null"):
        assert validate.main([*given, "--repair", place]) == 1
        assert f"--repair names {place}, which is not a file" in capsys.readouterr().err
    assert validate.main([*given, "--repair", str(tmp_path / "same")]) == 1
    assert "--repair and --output name the same file" in capsys.readouterr().err


def test_the_folder_of_a_repaired_file_is_made(validated: Validate, tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "repaired.jsonl"
    validated(lines(good(1), good(1)), "--repair", str(target))
    assert target.read_bytes() == lines(good(1))


def test_a_repair_that_fails_leaves_the_old_file(
    validated: Validate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(path: Path) -> Iterator[bytes]:
        yield lines(good(1))
        raise OSError("the disk is gone")

    target = tmp_path / "repaired.jsonl"
    target.write_text("old")
    (tmp_path / "report.json").write_text("{}")
    monkeypatch.setattr(validate, "chunks", torn)
    assert validated(lines(good(1)), "--repair", str(target))[0] == 2
    assert target.read_text() == "old"
    assert not list(tmp_path.glob(".*"))
