"""A repaired file: what takes no judgement is corrected, the rest dropped, good lines stay as they are."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.datasets.repair import Repair
from luthier.datasets.report import examine
from tests.unit.datasets.test_planted_faults import EDITS, SHAPES, spoiled

REPLY = {"role": "assistant", "content": "b"}


def repaired(*lines: bytes | str | dict[str, Any], method: str | None = None) -> tuple[list[Any], Repair]:
    """The rows of the repaired file, and what was done."""
    encoded = [json.dumps(line) if isinstance(line, dict) else line for line in lines]
    content = b"\n".join(line.encode() if isinstance(line, str) else line for line in encoded)
    repair = Repair(method)
    return [json.loads(line) for line in repair.lines([content])], repair


def chat(message: Any) -> dict[str, Any]:
    return {"messages": [message, REPLY]}


@pytest.mark.parametrize(
    ("line", "row", "correction"),
    [
        (chat({"role": "human", "content": "a"}), chat({"role": "user", "content": "a"}), "role"),
        (chat({"role": "User", "content": "a"}), chat({"role": "user", "content": "a"}), "role"),
        (chat({"role": "Human ", "content": "a"}), chat({"role": "user", "content": "a"}), "role"),
        (chat({"role": "Developer", "content": "a"}), chat({"role": "system", "content": "a"}), "role"),
        (chat({"role": "user", "content": 4.5}), chat({"role": "user", "content": "4.5"}), "number"),
        (
            chat({"role": "user", "content": ["a", {"type": "text", "text": "b"}]}),
            chat({"role": "user", "content": "ab"}),
            "parts",
        ),
        (chat({"role": "user", "content": "a\u0007"}), chat({"role": "user", "content": "a"}), "control_character"),
        (chat({"role": "user", "content": "a", "weight": 0}), chat({"role": "user", "content": "a"}), "weight"),
        ({"conversations": [{"from": "gpt", "value": "b"}]}, {"messages": [REPLY]}, "conversations"),
        ({"instruction": "a", "input": "b", "output": "c"}, {"prompt": "a\n\nb", "completion": "c"}, "instruction"),
        ({"instruction": "a", "output": "c"}, {"prompt": "a", "completion": "c"}, "instruction"),
        ({"prompt": 1, "completion": 2}, {"prompt": "1", "completion": "2"}, "number"),
        ('{"text": "a",}', {"text": "a"}, "json"),
        ('{"text": "a, ]", "tags": [1, 2, ], }', {"text": "a, ]", "tags": [1, 2]}, "json"),
        ('[{"text": "a"},', {"text": "a"}, "json"),
        ('{"text": "a"}]', {"text": "a"}, "json"),
        (
            {"messages": [REPLY], "functions": [{"name": "f"}]},
            {"messages": [REPLY], "tools": [{"type": "function", "function": {"name": "f"}}]},
            "functions",
        ),
    ],
)
def test_a_fault_is_corrected_as_its_fix_says(line: Any, row: dict[str, Any], correction: str) -> None:
    rows, repair = repaired(line)
    assert rows == [row]
    assert correction in repair.corrections
    assert (repair.kept, repair.changed, repair.dropped) == (1, 1, {})


def test_labels_are_corrected_where_the_method_needs_them() -> None:
    row = {"prompt": "a", "completion": "b"}
    rows, repair = repaired(*(row | {"label": label} for label in (1, "false")), method="kto")
    assert [row["label"] for row in rows] == [True, False]
    assert repair.corrections == {"label": 2}


def test_good_lines_keep_their_bytes_without_marks_and_carriage_returns() -> None:
    line = b'{ "text":"\\u00e9" , "weight": 1 }'
    assert list(Repair().lines([b"\xef\xbb\xbf" + line + b"\r\n", b"\n"])) == [line + b"\n"]


def test_what_cannot_be_corrected_is_dropped_and_counted() -> None:
    picture = chat({"role": "user", "content": [{"type": "image_url", "image_url": {}}]})
    misspelt = chat({"role": "usr", "content": "a"})
    lines = [
        {"text": "a"},
        "{",
        "",
        misspelt,
        {"text": "a"},
        {"text": " "},
        '{"text": "a", "text": "b"}',
        b"\xff",
        picture,
    ]
    rows, repair = repaired(*lines, {"prompt": "a", "completion": "b"}, '{"text": "' + "x" * 5_000_000 + '"}')
    assert rows == [{"text": "a"}]
    assert repair.dropped == {
        "invalid_json": 1, "blank_line": 1, "unknown_role": 1, "duplicate_row": 1, "no_trained_token": 1,
        "duplicate_key": 1, "invalid_utf8": 1, "wrong_type": 1, "mixed_formats": 1, "line_too_long": 1,
    }  # fmt: skip


@given(spoiled())
def test_every_good_row_of_a_spoiled_file_is_kept_and_the_repaired_file_is_good(
    file: tuple[list[bytes], dict[int, str]],
) -> None:
    lines, planted = file
    repair = Repair()
    kept = list(repair.lines([b"\n".join(lines) + b"\n"]))
    report = examine(kept)
    assert (report.ok, report.rows, report.counts["duplicate_row"]) == (True, repair.kept, 0)
    good = [line for number, line in enumerate(lines, start=1) if number not in planted and line.strip()]
    assert [line for line in kept if line[:-1] in good] == [line + b"\n" for line in good]
    assert repair.kept + repair.dropped.total() == len(lines)


@given(st.sampled_from(SHAPES), st.lists(EDITS, max_size=6), st.sampled_from([None, "sft", "dpo", "kto"]))
def test_whatever_the_file_the_repaired_one_has_no_errors(
    shape: dict[str, Any], edits: list[list[tuple[int, int, bytes]]], method: str | None
) -> None:
    line = json.dumps(shape).encode()
    lines = [line]
    for changes in edits:
        changed = line
        for place, length, scrap in changes:
            changed = changed[:place] + scrap + changed[place + length :]
        lines.append(changed)
    kept = list(Repair(method).lines([b"\n".join(lines)]))
    assert set(examine(kept, method).errors) <= {"empty_file"}
