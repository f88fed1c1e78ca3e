"""What a row must look like, and what is said when it does not."""

import json
from typing import Any

import pytest

from luthier.datasets.findings import WARNINGS, BadRow
from luthier.datasets.formats import FORMATS, FORMATS_OF_METHOD, columns_of
from luthier.datasets.rows import MAX_FINDINGS_PER_ROW, parse_row, read_rows

GOOD: dict[str, dict[str, Any]] = {
    "messages": {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]},
    "prompt_completion": {"prompt": "2+2=", "completion": "4"},
    "input_output": {"input": "2+2=", "output": "4"},
    "text": {"text": "Once upon a time"},
    "preference": {"prompt": "2+2=", "chosen": "4", "rejected": "5"},
    "unpaired": {"prompt": "2+2=", "completion": "4", "label": True},
}


def findings(row: object, method: str | None = None) -> list[tuple[str, str]]:
    """(code, pointer) of every finding in one row, given as an object or as the raw line."""
    line = row if isinstance(row, bytes | str) else json.dumps(row)
    with pytest.raises(BadRow) as caught:
        parse_row(line, 7, method)
    for finding in caught.value.findings:
        assert (finding.line, finding.level) == (7, "error")
        assert finding.code not in WARNINGS
        assert finding.message.endswith(".")
        assert finding.fix.endswith(".")
    return [(finding.code, finding.pointer) for finding in caught.value.findings]


def conversation(*messages: object) -> dict[str, Any]:
    return {"messages": [*messages, {"role": "assistant", "content": "ok"}]}


@pytest.mark.parametrize("form", FORMATS)
def test_each_format_is_told_by_its_keys(form: str) -> None:
    assert parse_row(json.dumps(GOOD[form])).format == form


def test_a_row_tells_its_texts_and_its_ignored_keys() -> None:
    row = parse_row(json.dumps(GOOD["prompt_completion"] | {"id": 7, "source": "wiki"}))
    assert row.texts == ["2+2=", "4"]
    assert row.ignored_keys == ["id", "source"]


def test_a_system_message_may_come_first_and_may_be_empty() -> None:
    parse_row(json.dumps(conversation({"role": "system", "content": ""}, {"role": "user", "content": "hi"})))


def test_line_and_paragraph_separators_tabs_and_emoji_are_ordinary_text() -> None:
    text = "a\u2028b\u2029c\td\ne\U0001f600"
    assert parse_row(json.dumps({"text": text})).texts == [text]
    assert parse_row(json.dumps({"text": text}, ensure_ascii=False)).texts == [text]


def test_a_byte_order_mark_and_a_carriage_return_do_no_harm() -> None:
    assert parse_row(b'\xef\xbb\xbf{"text": "a"}\r').texts == ["a"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{'text': 'a'}", "invalid_json"),
        ('{"text": "a"', "invalid_json"),
        ('{"text": "a"} {"text": "b"}', "invalid_json"),
        ('{"text": NaN}', "invalid_json"),
        ('{"text": ' + "1" * 5000 + "}", "invalid_json"),
        ("[" * 100_000, "invalid_json"),
        (b'{"text": "\xff"}', "invalid_utf8"),
        ('["a"]', "not_an_object"),
        ("null", "not_an_object"),
        ('{"text": "a", "text": "b"}', "duplicate_key"),
        ('{"text": "a", "text" : "\\u0022\\u0022"}', "duplicate_key"),
        ('{"text": "a", "meta": {"b": 1, "b": 1}}', "duplicate_key"),
        ('{"text": "a", "meta": [{"b": 1, "b": ""}]}', "duplicate_key"),
        ('{"text": "a", "n": 1e5, "n": 01}', "invalid_json"),
        ("{}", "unknown_format"),
        ('{"question": "a", "answer": "b"}', "unknown_format"),
        ('{"text": "a", "prompt": "b", "completion": "c"}', "ambiguous_format"),
    ],
)
def test_a_line_that_is_no_row_gets_one_finding_at_the_row(line: str | bytes, code: str) -> None:
    assert findings(line) == [(code, "")]


@pytest.mark.parametrize(
    ("row", "code", "pointer"),
    [
        ({"prompt": "a"}, "missing_key", "/completion"),
        ({"output": "a"}, "missing_key", "/input"),
        ({"instruction": "a", "input": "", "output": "b"}, "unknown_format", "/instruction"),
        ({"conversations": [{"from": "human", "value": "a"}]}, "unknown_format", "/conversations"),
        ({"prompt": "a", "completion": " \n"}, "no_trained_token", "/completion"),
        ({"input": 1, "output": "b"}, "wrong_type", "/input"),
        ({"text": ""}, "no_trained_token", "/text"),
        ({"text": None}, "wrong_type", "/text"),
        ({"text": "a\x00b"}, "control_character", "/text"),
        ({"text": "\ud800"}, "invalid_unicode", "/text"),
        ({"messages": []}, "empty_messages", "/messages"),
        ({"messages": {}}, "wrong_type", "/messages"),
        ({"messages": [{"role": "user", "content": "a"}]}, "no_trained_token", "/messages"),
        (conversation("a"), "wrong_type", "/messages/0"),
        (conversation({"role": "human", "content": "a"}), "unknown_role", "/messages/0/role"),
        (conversation({"content": "a"}), "unknown_role", "/messages/0/role"),
        (conversation({"role": ["user"], "content": "a"}), "wrong_type", "/messages/0/role"),
        (conversation({"role": "user"}), "missing_content", "/messages/0/content"),
        (conversation({"role": "user", "content": None}), "missing_content", "/messages/0/content"),
        (conversation({"role": "user", "content": [{"type": "text"}]}), "wrong_type", "/messages/0/content"),
        (conversation({"role": "assistant", "content": ""}), "no_trained_token", "/messages/0/content"),
        (
            conversation({"role": "user", "content": "a"}, {"role": "system", "content": "b"}),
            "misplaced_system",
            "/messages/1/role",
        ),
        (conversation({"role": "user", "content": "a", "weight": 0}), "unsupported_key", "/messages/0/weight"),
    ],
)
def test_a_fault_inside_a_row_is_pointed_at(row: object, code: str, pointer: str) -> None:
    assert findings(row) == [(code, pointer)]


def test_all_faults_of_a_row_are_found_at_once() -> None:
    row = {"messages": [{"role": "gpt", "content": 1}, {"role": "user"}]}
    assert findings(row) == [
        ("unknown_role", "/messages/0/role"),
        ("wrong_type", "/messages/0/content"),
        ("missing_content", "/messages/1/content"),
        ("no_trained_token", "/messages"),
    ]


@pytest.mark.parametrize(
    ("role", "fix"),
    [
        ("human", "Write 'user'."),
        ("Human", "Write 'user'."),
        ("User", "Write 'user'."),
        (" SYSTEM ", "Write 'system'."),
        ("usr", "Did you mean 'user'? Use one of system, user, assistant, tool."),
        ("Assistent", "Did you mean 'assistant'? Use one of system, user, assistant, tool."),
        ("asistant", "Did you mean 'assistant'? Use one of system, user, assistant, tool."),
        ("sytem", "Did you mean 'system'? Use one of system, user, assistant, tool."),
        ("humans", "Did you mean 'user'? Use one of system, user, assistant, tool."),
        ("tools", "Did you mean 'tool'? Use one of system, user, assistant, tool."),
        ("owner", "Use one of system, user, assistant, tool."),
        ("x" * 1_000_000, "Use one of system, user, assistant, tool."),
        ("", "Use one of system, user, assistant, tool."),
        (None, "Use one of system, user, assistant, tool."),
    ],
)
def test_the_fix_for_a_role_of_another_name_or_spelling_says_which_is_meant(role: str | None, fix: str) -> None:
    with pytest.raises(BadRow) as caught:
        parse_row(json.dumps(conversation({"role": role, "content": "a"})))
    assert caught.value.findings[0].fix == fix


def test_the_fix_for_a_json_document_says_one_object_per_line() -> None:
    with pytest.raises(BadRow) as caught:
        parse_row('[{"text": "a"},')
    assert "one object per line" in caught.value.findings[0].fix


def test_a_row_with_thousands_of_faults_stays_cheap() -> None:
    assert len(findings({"messages": [1] * 1_000})) == MAX_FINDINGS_PER_ROW


def test_exporters_that_write_empty_tool_lists_are_understood() -> None:
    parse_row(json.dumps(GOOD["messages"] | {"tools": [], "functions": None}))


def test_reading_skips_blank_lines_and_stops_at_the_first_bad_one() -> None:
    rows = read_rows([b'{"text": "a"}\n', b"\n", b'{"text": "b"}\n', b"{}\n"])
    assert [next(rows).texts, next(rows).texts] == [["a"], ["b"]]
    with pytest.raises(BadRow, match="line 4"):
        next(rows)


@pytest.mark.parametrize("method", FORMATS_OF_METHOD)
@pytest.mark.parametrize("form", FORMATS)
def test_a_method_takes_the_rows_of_its_formats_and_names_its_columns_for_others(method: str, form: str) -> None:
    line = json.dumps(GOOD[form])
    if form in FORMATS_OF_METHOD[method]:
        assert parse_row(line, method=method).format == form
        return
    with pytest.raises(BadRow) as caught:
        parse_row(line, method=method)
    (finding,) = caught.value.findings
    assert (finding.code, finding.pointer) == ("wrong_columns", "")
    assert finding.message.startswith(f"Method {method} takes rows with {columns_of(method)}; found ")
    assert finding.message.endswith(f" (format {form}).")


@pytest.mark.parametrize(
    ("row", "method", "code", "pointer"),
    [
        ({"question": "a"}, "dpo", "wrong_columns", ""),
        ({"prompt": "a", "chosen": "b"}, "orpo", "missing_key", "/rejected"),
        ({"chosen": "a", "rejected": "b"}, "dpo", "missing_key", "/prompt"),
        ({"prompt": "a", "completion": "b", "label": 1}, "kto", "wrong_type", "/label"),
        ({"prompt": "a", "label": True}, "kto", "missing_key", "/completion"),
        (GOOD["messages"] | GOOD["preference"], None, "ambiguous_format", ""),
    ],
)
def test_columns_that_do_not_fit_are_told_apart(row: object, method: str | None, code: str, pointer: str) -> None:
    assert findings(row, method) == [(code, pointer)]


def test_a_method_picks_its_format_where_a_row_has_several() -> None:
    line = json.dumps(GOOD["messages"] | GOOD["preference"])
    assert parse_row(line, method="dpo").format == "preference"
    assert parse_row(line, method="sft").format == "messages"


def test_a_label_that_is_no_verdict_is_a_column_of_ones_own() -> None:
    row = parse_row(json.dumps(GOOD["prompt_completion"] | {"label": "spam"}))
    assert (row.format, row.ignored_keys) == ("prompt_completion", ["label"])


def test_what_openai_spells_in_two_ways_is_one_row() -> None:
    parts = [{"type": "text", "text": "My parcel"}, {"type": "text", "text": " is late."}]
    theirs = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "Sorry!"},
    ]
    ours = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "My parcel is late."}, theirs[2]]
    assert parse_row(json.dumps({"messages": theirs})) == parse_row(json.dumps({"messages": ours}))
    preferred = {
        "input": {"messages": theirs[:2]},
        "preferred_output": [theirs[2]],
        "non_preferred_output": [theirs[2] | {"content": "No."}],
    }
    spelled = preferred | {"input": {"messages": ours[:2]}}
    assert parse_row(json.dumps(preferred)) == parse_row(json.dumps(spelled))


def test_a_picture_is_no_text_and_a_developer_comes_first() -> None:
    picture = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "https://a/b.png"}}]
    reply = {"role": "assistant", "content": "A cat."}
    for messages in (
        [{"role": "user", "content": picture}, reply],
        [reply, {"role": "developer", "content": "a"}, reply],
    ):
        with pytest.raises(BadRow):
            parse_row(json.dumps({"messages": messages}))
