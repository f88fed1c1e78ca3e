"""Faults planted in good files: the report names exactly their lines, and reads fast what it would read slowly."""

import ast
import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.datasets import json_objects, report
from luthier.datasets.findings import ERRORS, WARNINGS
from luthier.datasets.report import KEPT_PER_CODE, Report, examine
from tests.planted import OF_TOKENS, OVERLAP, PLANTED, WHOLE, Planted, chat

ROOT = Path(__file__).parents[3]

CORE, TRAINER = (ROOT / folder for folder in ("layers/core/python/luthier/datasets", "training_container/trainer"))
# Of a file of messages that no method is known for.
FAULTS: list[tuple[bytes, str]] = [
    *((fault.numbered(0), fault.code) for fault in PLANTED if fault.method == "sft" and fault.code not in WARNINGS),
    (b'{"question": "a"}', "unknown_format"),
    (b'{"prompt": "a", "chosen": "b", "rejected": "c"}', "mixed_formats"),
]
FAULTS = [fault for fault in FAULTS if fault[1] not in ("wrong_columns", "line_too_long")]
BLANK = [b"", b"  ", b"\r"]


def codes(found: Report) -> list[tuple[int, str]]:
    return list(dict.fromkeys((finding.line, finding.code) for finding in found.findings))


def literals(node: ast.expr) -> set[str]:
    """The strings that an expression may have as its value."""
    if isinstance(node, ast.IfExp):
        return literals(node.body) | literals(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) else set()


def codes_in(folder: Path) -> set[str]:
    """Every code that is given to a Fault."""
    calls = (node for path in folder.rglob("*.py") for node in ast.walk(ast.parse(path.read_text())))
    return {
        code
        for call in calls
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Fault"
        for code in literals(call.args[0])
    }


def test_the_catalogue_has_every_code_that_is_given_and_no_other() -> None:
    assert codes_in(CORE) | codes_in(TRAINER) == ERRORS | WARNINGS
    assert not ERRORS & WARNINGS


def test_every_code_of_the_catalogue_has_a_planted_file() -> None:
    assert {fault.code for fault in PLANTED} | {*WHOLE, "overlap", *OF_TOKENS} == ERRORS | WARNINGS


@pytest.mark.parametrize("fault", PLANTED, ids=lambda fault: f"{fault.code} {fault.line!s:.40}")
def test_planted_lines_are_named_and_no_others(fault: Planted) -> None:
    content, places = fault.file()
    found = examine([content], fault.method)
    # The first of equal rows is as good as any.
    named = places[1:] if fault.code == "duplicate_row" else places
    assert codes(found) == [(place, fault.code) for place in named]
    assert found.ok == (fault.code in WARNINGS)
    assert found.rows == (15 if found.ok else 12)


@pytest.mark.parametrize("code", WHOLE)
def test_a_fault_of_the_whole_file_is_named_without_a_line(code: str) -> None:
    content, method = WHOLE[code]
    assert codes(examine([content], method)) == [(0, code)]


def test_rows_of_the_training_file_are_named_in_the_validation_file() -> None:
    train, validation = OVERLAP
    found = examine([validation], against=examine([train]).hashes)
    assert codes(found) == [(2, "overlap"), (5, "overlap")]


@pytest.mark.parametrize(
    "fault",
    {fault.code: fault for fault in PLANTED if fault.code != "line_too_long"}.values(),
    ids=lambda fault: fault.code,
)
def test_findings_are_kept_up_to_a_bound_and_counted_beyond_it(fault: Planted) -> None:
    content, places = fault.file(faults=KEPT_PER_CODE + 5)
    named = places[1:] if fault.code == "duplicate_row" else places
    found = examine([content], fault.method)
    assert found.counts.keys() == {fault.code}
    per_line = found.counts.total() // len(named)
    assert found.counts[fault.code] == len(named) * per_line
    assert [finding.line for finding in found.findings] == sorted(named * per_line)[:KEPT_PER_CODE]


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[list[bytes], dict[int, str]]:
    """The lines of a good file with faults at random places, and the code of each by its line."""
    texts = draw(
        st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1, max_size=12, unique=True)
    )
    style = draw(st.sampled_from([{}, {"ensure_ascii": False}, {"separators": (",", ":")}]))
    rows = [json.loads(chat()) for _ in texts]
    lines = []
    for row, text in zip(rows, texts, strict=True):
        row["messages"][0]["content"] = f"good {text}"
        lines.append((json.dumps(row, **style).encode(), ""))
    faults = st.one_of(
        st.sampled_from(FAULTS),
        st.sampled_from([(line, "") for line in BLANK]),
        st.just((lines[0][0], "duplicate_row")),
    )
    for fault in draw(st.lists(faults, max_size=8)):
        lines.insert(draw(st.integers(1, len(lines))), fault)
    return [line for line, _ in lines], {number: code for number, (_, code) in enumerate(lines, start=1) if code}


@given(spoiled())
def test_planted_faults_are_reported_exactly_and_nothing_else(file: tuple[list[bytes], dict[int, str]]) -> None:
    lines, planted = file
    found = examine([b"\n".join(lines) + b"\n"])
    assert {number for number, _ in codes(found)} == set(planted)
    assert set(planted.items()) <= set(codes(found))
    errors = [code for code in planted.values() if code != "duplicate_row"]
    blank = sum(not line.strip() for line in lines)
    assert (found.lines, found.bad_lines, found.blank_lines) == (len(lines), len(errors), blank)
    assert found.rows == len(lines) - len(errors) - blank
    assert found.ok == (not errors)


SHAPES: list[dict[str, Any]] = [
    json.loads(chat()),
    json.loads(chat()) | {"id": 1, "source": "wiki", "meta": {"a": ["b"]}},
    {"prompt": "a", "completion": "b"},
    {"text": "a"},
    {"prompt": "a", "chosen": "b", "rejected": "c"},
    {"prompt": "a", "completion": "b", "label": True},
]
# What is written over a few bytes of a good line, so that it may say something else.
SCRAPS = st.one_of(
    st.sampled_from([b'"', b"\\", b"\\u0022", b"\\u0000", b"\\b", b'", "role": "user', b'"text": "', b', "id": 2', b" ",
                     b"[", b"{", b"}", b"\xc3\xa9", b"\xff", b"\\ud83d\\ude00", b"\n", b"1", b'"label": 1', b"AKIA"]),
    st.binary(max_size=2),
)  # fmt: skip
EDITS = st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), SCRAPS), max_size=3)


@settings(max_examples=300)
@given(st.sampled_from(SHAPES), st.lists(EDITS, min_size=1, max_size=6), st.booleans())
def test_the_fast_ways_say_what_the_exact_way_says(
    shape: dict[str, Any], edits: list[list[tuple[int, int, bytes]]], compact: bool
) -> None:
    separators = (",", ":") if compact else None
    lines = [json.dumps(shape, separators=separators).encode()]
    for changes in edits:
        line = lines[0]
        for place, length, scrap in changes:
            line = line[:place] + scrap + line[place + length :]
        lines.append(line)
    fast = examine([b"\n".join(lines)])
    with (
        mock.patch.object(report, "reader", return_value=lambda line: None),
        mock.patch.object(json_objects, "_DECODE", side_effect=ValueError),
    ):
        exact = examine([b"\n".join(lines)])
    assert facts(fast) == facts(exact)


def facts(found: Report) -> dict[str, Any]:
    return {name: value for name, value in vars(found).items() if not name.startswith("_") and name != "hashes"}
