"""Conversations with tools: their definitions, the calls and the answers."""

import json
from typing import Any

import pytest

from luthier.datasets.findings import BadRow
from luthier.datasets.rows import parse_row

TOOL = {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": {}}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
ANSWER = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
REPLY = {"role": "assistant", "content": "Sunny."}


def row(
    *, call: dict[str, Any] | None = None, answer: dict[str, Any] | None = None, **extra: Any
) -> dict[str, list[Any]]:
    """A good conversation with one call and its answer, with changes."""
    calling = {"role": "assistant", "tool_calls": [CALL | (call or {})]}
    messages = [{"role": "user", "content": "Rome?"}, calling, ANSWER | (answer or {}), REPLY]
    return {"messages": messages, "tools": [TOOL], "parallel_tool_calls": False} | extra


def function(**change: Any) -> dict[str, Any]:
    return {"function": CALL["function"] | change}  # type: ignore[operator]


def findings(row: object) -> list[tuple[str, str]]:
    with pytest.raises(BadRow) as caught:
        parse_row(json.dumps(row))
    return [(finding.code, finding.pointer) for finding in caught.value.findings]


def test_a_call_needs_no_content_and_its_texts_are_counted() -> None:
    found = parse_row(json.dumps(row()))
    assert found.ignored_keys == []
    assert found.texts == [json.dumps([TOOL]), "Rome?", "weather", '{"city": "Rome"}', "sunny", "Sunny."]


@pytest.mark.parametrize(
    "good",
    [
        row(call=function(arguments={"city": "Rome"})),
        row(call=function(arguments="{}")),
        row(tools=None),
        row(tools=[{"type": "function", "function": {"name": "weather"}}]),
        {"messages": [{"role": "assistant", "content": "", "tool_calls": [CALL]}]},
        {"messages": [{"role": "assistant", "content": "a", "tool_calls": None, "function_call": None}]},
    ],
)
def test_spellings_in_use_are_taken(good: dict[str, Any]) -> None:
    parse_row(json.dumps(good))


def test_calls_without_ids_are_answered_without_them() -> None:
    call = {key: value for key, value in CALL.items() if key != "id"}
    messages = [{"role": "assistant", "tool_calls": [call]}, {"role": "tool", "content": "sunny"}, REPLY]
    parse_row(json.dumps({"messages": messages}))


@pytest.mark.parametrize(
    ("bad", "code", "pointer"),
    [
        (row(call={"id": 1}, answer={"tool_call_id": None}), "wrong_type", "/messages/1/tool_calls/0/id"),
        (row(call={"type": "code"}), "unsupported_tool", "/messages/1/tool_calls/0/type"),
        (row(call={"function": None}), "wrong_type", "/messages/1/tool_calls/0/function"),
        (row(call=function(name=1)), "wrong_type", "/messages/1/tool_calls/0/function/name"),
        (row(call=function(name=" ")), "invalid_tool_call", "/messages/1/tool_calls/0/function/name"),
        (row(call=function(arguments="{")), "invalid_tool_call", "/messages/1/tool_calls/0/function/arguments"),
        (row(call=function(arguments="[]")), "invalid_tool_call", "/messages/1/tool_calls/0/function/arguments"),
        (row(call=function(arguments=None)), "wrong_type", "/messages/1/tool_calls/0/function/arguments"),
        (
            row(call=function(arguments={"a": "\ud800"})),
            "invalid_unicode",
            "/messages/1/tool_calls/0/function/arguments",
        ),
        (row(answer={"tool_call_id": "call_2"}), "unknown_tool_call", "/messages/2/tool_call_id"),
        (row(answer={"tool_call_id": None}), "missing_key", "/messages/2/tool_call_id"),
        (row(answer={"tool_call_id": 3}), "wrong_type", "/messages/2/tool_call_id"),
        (row(answer={"content": None}), "missing_content", "/messages/2/content"),
        ({"messages": [{"role": "tool", "content": "a"}, REPLY]}, "unknown_tool_call", "/messages/0"),
        (
            {"messages": [{"role": "user", "content": "a", "tool_calls": [CALL]}, REPLY]},
            "unsupported_key",
            "/messages/0/tool_calls",
        ),
        ({"messages": [{"role": "assistant", "content": "a", "tool_calls": {"a": 1}}]}, "wrong_type",
         "/messages/0/tool_calls"),
        ({"messages": [REPLY | {"function_call": {"name": "a"}}]}, "unsupported_key", "/messages/0/function_call"),
        ({"messages": [REPLY], "functions": [{"name": "a"}]}, "unsupported_key", "/functions"),
        (row(tools={}), "wrong_type", "/tools"),
        (row(tools=["weather"]), "wrong_type", "/tools/0"),
        (row(tools=[TOOL | {"type": "retrieval"}]), "unsupported_tool", "/tools/0/type"),
        (row(tools=[{"type": "function", "function": {}}]), "wrong_type", "/tools/0/function/name"),
        (row(tools=[{"function": {"name": "a", "parameters": []}}]), "wrong_type", "/tools/0/function/parameters"),
        (row(tools=[{"function": {"name": "a", "description": 1}}]), "wrong_type", "/tools/0/function/description"),
        (row(parallel_tool_calls="yes"), "wrong_type", "/parallel_tool_calls"),
    ],
)  # fmt: skip
def test_a_fault_around_tools_is_pointed_at(bad: dict[str, Any], code: str, pointer: str) -> None:
    assert findings(bad) == [(code, pointer)]


def test_weights_say_which_replies_are_trained() -> None:
    parse_row(json.dumps({"messages": [REPLY | {"weight": 0, "content": ""}, REPLY | {"weight": 1}]}))
    assert findings({"messages": [REPLY | {"weight": 0}]}) == [("no_trained_token", "/messages")]
    for weight in (2, 0.5, "1", True):
        assert findings({"messages": [REPLY | {"weight": weight}]}) == [("unsupported_weight", "/messages/0/weight")]
