"""The report over a whole file, whatever its size and however it is cut."""

import hashlib
import itertools
import json
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from luthier.datasets.report import KEPT_PER_CODE, MAX_IGNORED_KEYS, MAX_LINE_BYTES, Report, examine

TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)
GOOD_LINE = TEXT.map(lambda text: json.dumps({"text": text}, ensure_ascii=False).encode())
# A bad line and the code that must be reported for it.
BAD_LINE = st.sampled_from(
    [
        (b"{", "invalid_json"),
        (b"[]", "not_an_object"),
        (b'{"text": "\xfe"}', "invalid_utf8"),
        (b'{"text": "  "}', "no_trained_token"),
        (b'{"prompt": "a"}', "missing_key"),
        (b'{"prompt": "a", "completion": "b"}', "mixed_formats"),
        (b'{"messages": []}', "empty_messages"),
        (b'{"text": "\\u0007"}', "control_character"),
    ]
)
BLANK_LINE = st.sampled_from([b"", b"  ", b"\t", b"\r"])
LINES = st.lists(
    st.one_of(GOOD_LINE.map(lambda line: (line, "good")), BLANK_LINE.map(lambda line: (line, "blank")), BAD_LINE),
    max_size=30,
)


def facts(report: Report) -> dict[str, object]:
    return {name: value for name, value in vars(report).items() if not name.startswith("_")}


@given(LINES)
def test_planted_bad_lines_are_reported_exactly_and_nothing_else(lines: list[tuple[bytes, str]]) -> None:
    lines = [(b'{"text": "first"}', "good"), *lines]
    report = examine([b"\n".join(line for line, _ in lines) + b"\n"])
    planted = [(number, kind) for number, (_, kind) in enumerate(lines, start=1) if kind not in ("good", "blank")]
    assert [(finding.line, finding.code) for finding in report.findings] == planted
    assert report.bad_lines == report.counts.total() == len(planted)
    assert report.rows == sum(kind == "good" for _, kind in lines)
    assert report.blank_lines == sum(kind == "blank" for _, kind in lines)
    assert report.lines == len(lines)
    assert report.ok == (not planted)


@given(LINES, st.lists(st.integers(0, 400), max_size=8))
def test_where_the_chunks_are_cut_makes_no_difference(lines: list[tuple[bytes, str]], cuts: list[int]) -> None:
    content = b"\n".join(line for line, _ in lines)
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
    assert [(finding.line, finding.code) for finding in report.findings] == [
        (1, "unknown_format"),
        (3, "mixed_formats"),
    ]


def test_utf_16_is_named_as_such() -> None:
    report = examine(['{"text": "a"}\n'.encode("utf-16")])
    assert report.findings[0].message == "The file is encoded as UTF-16."


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
    rows = [json.dumps({"text": "a", "id": 1, f"key{n}": 1, "": 1, "\ud800": 1}) for n in range(MAX_IGNORED_KEYS * 2)]
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
