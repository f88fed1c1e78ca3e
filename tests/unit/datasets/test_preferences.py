"""Rows of preference methods: a better and a worse reply, or a reply with a verdict."""

import json
from typing import Any

import pytest

from luthier.datasets.findings import BadRow
from luthier.datasets.rows import parse_row

USER = {"role": "user", "content": "2+2?"}
FOUR, FIVE = {"role": "assistant", "content": "4"}, {"role": "assistant", "content": "5"}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
NORMAL = {"prompt": [USER], "chosen": [FOUR], "rejected": [FIVE]}
OPENAI = {"input": {"messages": [USER]}, "preferred_output": [FOUR], "non_preferred_output": [FIVE]}


def findings(row: object) -> list[tuple[str, str]]:
    with pytest.raises(BadRow) as caught:
        parse_row(json.dumps(row))
    return [(finding.code, finding.pointer) for finding in caught.value.findings]


@pytest.mark.parametrize(
    "row", [NORMAL, NORMAL | {"chosen": "4", "rejected": "5"}, NORMAL | {"chosen": "4"}, OPENAI], ids=str
)
def test_every_spelling_of_a_conversational_preference_becomes_one(row: dict[str, Any]) -> None:
    found = parse_row(json.dumps(row))
    assert (found.format, found.fields) == ("preference", NORMAL)
    assert found.texts == ["2+2?", "4", "5"]


def test_openais_tools_come_along_and_other_columns_stay() -> None:
    given = OPENAI | {"input": {"messages": [USER], "tools": TOOLS, "parallel_tool_calls": True}, "id": 1}
    row = parse_row(json.dumps(given))
    assert row.fields == NORMAL | {"tools": TOOLS, "parallel_tool_calls": True, "id": 1}
    assert row.ignored_keys == ["id"]
    assert json.loads(row.texts[0]) == TOOLS


def test_an_unpaired_reply_may_be_a_message() -> None:
    row = {"prompt": [USER], "completion": [FOUR], "label": False}
    assert parse_row(json.dumps(row)).fields == row
    assert parse_row(json.dumps(row | {"completion": "4"})).fields == row


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"prompt": 1}, "wrong_type", "/prompt"),
        ({"prompt": []}, "empty_messages", "/prompt"),
        ({"prompt": [{"role": "human", "content": "a"}]}, "unknown_role", "/prompt/0/role"),
        ({"prompt": "a", "rejected": "b"}, "wrong_type", "/chosen"),
        ({"chosen": []}, "no_trained_token", "/chosen"),
        ({"chosen": " "}, "no_trained_token", "/chosen"),
        ({"rejected": None}, "wrong_type", "/rejected"),
        ({"chosen": [USER, FOUR]}, "misplaced_role", "/chosen/0/role"),
        ({"chosen": [{"role": "assistant", "content": ""}]}, "no_trained_token", "/chosen/0/content"),
        ({"chosen": [{"role": "assistant"}]}, "missing_content", "/chosen/0/content"),
        ({"rejected": ["5"]}, "wrong_type", "/rejected/0"),
        ({"tools": {}}, "wrong_type", "/tools"),
    ],
)
def test_a_fault_in_a_preference_is_pointed_at(change: dict[str, Any], code: str, pointer: str) -> None:
    assert findings(NORMAL | change) == [(code, pointer)]


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        ({"input": "2+2?"}, "wrong_type", "/input"),
        ({"input": {}}, "missing_key", "/input/messages"),
        ({"input": {"messages": [], "tools": TOOLS}}, "empty_messages", "/input/messages"),
        ({"input": {"messages": [USER], "tools": 1}}, "wrong_type", "/input/tools"),
        ({"preferred_output": "4"}, "wrong_type", "/preferred_output"),
        ({"non_preferred_output": []}, "no_trained_token", "/non_preferred_output"),
    ],
)
def test_a_fault_in_openais_shape_is_pointed_at_where_it_lies(change: dict[str, Any], code: str, pointer: str) -> None:
    assert findings(OPENAI | change) == [(code, pointer)]


def test_a_row_of_openais_shape_that_lacks_a_key_is_told_which() -> None:
    assert findings({key: OPENAI[key] for key in ("input", "preferred_output")}) == [
        ("missing_key", "/non_preferred_output")
    ]
