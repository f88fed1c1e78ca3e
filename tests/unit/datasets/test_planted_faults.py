"""Faults planted in good files: the report names exactly their lines, and reads fast what it would read slowly."""

import json
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.datasets import json_objects, report
from luthier.datasets.report import Report, examine

TOKEN = "ghp_" + "a1B2" * 9
PEM = "-----BEGIN RSA PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC"


def chat(content: str = '"a"', *, role: str = '"user"', more: str = "") -> str:
    reply = '{"role": "assistant", "content": "b"}'
    return f'{{"messages": [{{"role": {role}, "content": {content}{more}}}, {reply}]}}'


# Bad lines and the code that must be reported for each, in a file of messages.
FAULTS: list[tuple[bytes, str]] = [
    (b"{", "invalid_json"),
    (b'{"messages": [,]}', "invalid_json"),
    (b"{}{}", "invalid_json"),
    (chat("NaN").encode(), "invalid_json"),
    (chat('"\t"').encode(), "invalid_json"),
    (b"[]", "not_an_object"),
    (chat('"X"').encode().replace(b"X", b"\xfe"), "invalid_utf8"),
    (chat('"X"').encode().replace(b"X", b"\xed\xa0\x80"), "invalid_utf8"),
    (chat(more=', "content": "c"').encode(), "duplicate_key"),
    (chat(more=', "role": "user"').encode(), "duplicate_key"),
    (chat(more=', "content" : "\\u0022"').encode(), "duplicate_key"),
    (b'{"messages": [], "messages": []}', "duplicate_key"),
    (b'{"question": "a"}', "unknown_format"),
    (b'{"prompt": "a"}', "missing_key"),
    (b'{"prompt": "a", "completion": "b"}', "mixed_formats"),
    (b'{"prompt": "a", "chosen": "b", "rejected": "c"}', "mixed_formats"),
    (b'{"messages": []}', "empty_messages"),
    (b'{"messages": [{"role": "user", "content": "a"}]}', "no_trained_token"),
    (chat(role='"assistant"', content='" "').encode(), "no_trained_token"),
    (chat(role='"human"').encode(), "unknown_role"),
    (b'{"messages": [{"role": "assistant", "content": "a"}, {"role": "system", "content": "b"}]}', "misplaced_system"),
    (chat("null").encode(), "missing_content"),
    (chat("7").encode(), "wrong_type"),
    (chat('"\\u0007"').encode(), "control_character"),
    (chat('"\\b"').encode(), "control_character"),
    (chat('"\\ud800"').encode(), "invalid_unicode"),
    (chat(more=', "weight": 0').encode(), "unsupported_key"),
    (chat(role='"assistant"', more=', "weight": 2').encode(), "unsupported_weight"),
    (chat(role='"tool"').encode(), "unknown_tool_call"),
    (chat(role='"assistant"', more=', "tool_calls": [{"function": {"name": ""}}]').encode(), "invalid_tool_call"),
    (b'{"messages": "' + b"x" * 5_000_000 + b'"}', "line_too_long"),
    (chat(f'"{TOKEN}"').encode(), "likely_secret"),
    (chat('"my key is AKIAIOSFODNN7EXAMPLE."').encode(), "likely_secret"),
    (chat(f'"{PEM}"').encode(), "likely_secret"),
]  # fmt: skip
BLANK = [b"", b"  ", b"\r"]


def codes(found: Report) -> list[tuple[int, str]]:
    return list(dict.fromkeys((finding.line, finding.code) for finding in found.findings))


@pytest.mark.parametrize(("line", "code"), FAULTS, ids=lambda value: str(value)[:60])
def test_each_fault_is_found_in_a_good_file(line: bytes, code: str) -> None:
    good = [chat(f'"{number}"').encode() for number in range(3)]
    found = examine([b"\n".join([*good, line, chat('"last"').encode()])])
    assert code in [kind for number, kind in codes(found) if number == 4]
    assert {number for number, _ in codes(found)} == {4}
    assert found.ok == (code == "likely_secret")


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
        st.sampled_from([fault for fault in FAULTS if fault[1] != "line_too_long" and fault[1] != "likely_secret"]),
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
