"""The report over a whole file, whatever its size and however it is cut."""

import hashlib
import itertools
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.datasets.lines import MAX_LINE_BYTES
from luthier.datasets.report import KEPT_PER_CODE, MAX_IGNORED_KEYS, Report, examine

# What a row may hold, bad things too; a line twice is a finding as well.
LINE = st.sampled_from(
    [
        b'{"text": "a"}', b'{"text": "\xc3\xa9\\n\\"b\\""}', b'{"text": "c", "id": 7}', b"{", b"[]", b"", b"\t",
        b'{"text": "\xfe"}', b'{"text": "  "}', b'{"text": "\\u0007"}', b'{"prompt": "a"}',
        b'{"prompt": "a", "completion": "b"}',
    ]
)  # fmt: skip
LINES = st.lists(LINE, max_size=30)


def facts(report: Report) -> dict[str, object]:
    hidden = {name: value for name, value in vars(report).items() if not name.startswith("_")}
    return hidden | {"hashes": len(report.hashes)}


def found(report: Report) -> list[tuple[int, str, str]]:
    return [(finding.line, finding.code, finding.level) for finding in report.findings]


@given(LINES, st.lists(st.integers(0, 400), max_size=8))
def test_where_the_chunks_are_cut_makes_no_difference(lines: list[bytes], cuts: list[int]) -> None:
    content = b"\n".join(lines)
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    pieces = [content[start:end] for start, end in itertools.pairwise(edges)]
    whole, cut = examine([content]), examine(pieces)
    assert facts(whole) == facts(cut)
    assert whole.sha256 == cut.sha256 == hashlib.sha256(content).hexdigest()
    assert whole.bytes == len(content)


@given(st.binary(max_size=400))
def test_no_bytes_break_the_check(content: bytes) -> None:
    report = examine([content])
    assert report.rows + report.bad_lines + report.blank_lines == report.lines


def test_an_empty_file_and_a_file_of_blank_lines_have_no_rows() -> None:
    for content in (b"", b"\n\n  \n"):
        report = examine([content])
        assert [(finding.line, finding.code) for finding in report.findings] == [(0, "empty_file")]
        assert not report.ok


def test_the_first_good_row_decides_the_format() -> None:
    report = examine([b'{}\n{"input": "a", "output": "b"}\n{"text": "c"}\n'])
    assert report.format == "input_output"
    assert found(report) == [(1, "unknown_format", "error"), (3, "mixed_formats", "error")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ['{"text": "a"}\n', '{"text": "a"}\r\n{"text": "é"}\n'])
def test_utf_16_is_named_once_with_and_without_its_mark(encoding: str, text: str) -> None:
    report = examine([text.encode(encoding)])
    (finding,) = report.findings
    assert (finding.line, finding.message) == (1, "The file is encoded as UTF-16.")
    assert report.bad_lines + report.blank_lines == report.lines


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        ('{"text": "a"}\r{"text": "b"}\r', "carriage returns alone: save it with line feeds."),
        ("prompt,completion", "looks like CSV: write each record as a JSON object under the header's names"),
        ('"prompt";"completion"', "looks like CSV"),
        ("{'text': 'a'}", "looks like a Python dict: write it with json.dumps"),
        ("{\"text\": 'a'}", "looks like a Python dict"),
        ('{"text": "a", "more": None}', "looks like a Python dict"),
        ("hello", "Write one complete JSON object on this line"),
    ],
)
def test_a_file_of_another_kind_is_named_with_what_to_do(content: str, remedy: str) -> None:
    (finding,) = examine([content.encode()]).findings
    assert (finding.code, finding.line) == ("invalid_json", 1)
    assert remedy in finding.fix


def test_counts_stay_exact_where_findings_are_dropped() -> None:
    report = examine([b"{\n" * (KEPT_PER_CODE + 500)])
    assert report.counts["invalid_json"] == KEPT_PER_CODE + 500
    assert len(report.findings) == KEPT_PER_CODE


def test_tokens_are_estimated_from_bytes_and_the_template() -> None:
    report = examine([b'{"prompt": "12345678", "completion": "1234"}\n{"prompt": "", "completion": "1"}\n'])
    assert report.tokens == (3 + 8) + (1 + 8)
    assert report.longest_row_tokens == 11
    assert report.characters == 13


def test_ignored_keys_are_counted_up_to_a_bound() -> None:
    rows = [
        json.dumps({"text": f"a{n}", "id": 1, f"key{n}": 1, "": 1, "\ud800": 1}) for n in range(MAX_IGNORED_KEYS * 2)
    ]
    report = examine(["\n".join(rows).encode()])
    assert report.ignored_keys["id"] == MAX_IGNORED_KEYS * 2
    assert len(report.ignored_keys) == MAX_IGNORED_KEYS
    assert report.ignored_keys["(empty)"] == report.ignored_keys["?"] == MAX_IGNORED_KEYS * 2


def test_an_endless_line_is_reported_without_being_kept_in_memory() -> None:
    report = Report()
    chunk = b"x" * 65_536
    tracemalloc.start()
    for _ in range(6 * MAX_LINE_BYTES // len(chunk)):
        report.feed(chunk)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    report.feed(b'\n{"text": "a"}')
    report.close()
    assert [(finding.line, finding.code) for finding in report.findings] == [(1, "line_too_long")]
    assert report.rows == 1
    assert peak < 2 * MAX_LINE_BYTES


def test_a_line_longer_than_a_piece_is_read_whole() -> None:
    text = "x" * (2 * 1024 * 1024)
    report = examine([b'{"text": "a"}\n' + json.dumps({"text": text}).encode() + b'\n{"text": "b"}'])
    assert (report.rows, report.characters, report.ok) == (3, len(text) + 2, True)


def test_a_repeated_row_is_a_warning_that_names_the_first_whatever_its_spelling() -> None:
    lines = [
        '{"prompt": "é", "completion": "b"}',
        '{"prompt": "a", "completion": "b"}',
        '{"completion":"b","prompt":"\\u00e9","id":7}',
        '{"prompt": "é", "completion": "c"}',
    ]
    report = examine(["\n".join(lines).encode()])
    assert found(report) == [(3, "duplicate_row", "warning")]
    assert report.findings[0].message == "The row repeats line 1."
    assert (report.ok, report.rows, report.bad_lines, report.warnings, report.errors) == (True, 4, 0, 1, {})


def test_conversations_repeat_only_if_tools_calls_and_weights_do() -> None:
    user, reply = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    tools = [{"type": "function", "function": {"name": "f"}}]
    rows = [
        {"messages": [user, reply]},
        {"messages": [user, reply], "tools": tools},
        {"messages": [user, reply | {"weight": 0}, reply]},
        {"messages": [user, reply, reply]},
        {"messages": [user, reply | {"weight": 1}]},
        {"tools": tools, "messages": [user, reply]},
    ]
    report = examine(["\n".join(map(json.dumps, rows)).encode()])
    assert found(report) == [(5, "duplicate_row", "warning"), (6, "duplicate_row", "warning")]
    assert [finding.message for finding in report.findings] == ["The row repeats line 1.", "The row repeats line 2."]


def test_a_validation_row_that_is_trained_on_is_a_warning() -> None:
    train = examine([b'{"text": "a"}\n{"text": "b"}\n'])
    validation = examine([b'{"text": "c"}\n{"text":"b"}\n'], against=train.hashes)
    assert found(validation) == [(2, "overlap", "warning")]
    assert "line 2 of the training file" in validation.findings[0].message


@pytest.mark.parametrize(
    ("row", "code", "pointer"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "identical_pair", "/rejected"),
        (
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"function": {"name": "g", "arguments": {}}}]},
                    {"role": "assistant", "content": "a"},
                ],
                "tools": [{"function": {"name": "f"}}],
            },
            "undeclared_tool",
            "/messages/0/tool_calls/0/function/name",
        ),
    ],
)
def test_a_suspicious_row_is_a_warning(row: dict[str, object], code: str, pointer: str) -> None:
    report = examine([json.dumps(row).encode()])
    assert [(finding.code, finding.pointer, finding.level) for finding in report.findings] == [
        (code, pointer, "warning")
    ]
    assert report.ok


def test_a_file_with_one_label_only_is_a_warning() -> None:
    row = b'{"prompt": "a", "completion": "%d", "label": %s}\n'
    one, both = examine([row % (1, b"true")] * 2), examine([row % (1, b"true"), row % (2, b"false")])
    assert (0, "one_label", "warning") in found(one)
    assert found(both) == []


def test_a_file_for_another_method_has_wrong_columns_on_every_line() -> None:
    report = examine([b'{"text": "a"}\n\n{"text": "b"}\n'], method="dpo")
    assert found(report) == [(1, "wrong_columns", "error"), (3, "wrong_columns", "error")]
    assert (report.rows, report.bad_lines) == (0, 2)


def test_columns_of_ones_own_are_counted_in_rows_of_every_kind() -> None:
    rows = [{"text": f"t{n}", "id": n, "tags": ["a", {"b": None}], "sæ": 'x"y'} for n in range(20)]
    rows += [{"text": "odd", "other": 1}, {"text": "last", "id": 1}]
    report = examine(["\n".join(map(json.dumps, rows)).encode()])
    assert report.ignored_keys == {"id": 21, "tags": 20, "sæ": 20, "other": 1}
    assert (report.rows, found(report)) == (22, [])
