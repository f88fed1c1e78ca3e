"""Tools: shown to the model by its own template, and its calls read back into OpenAI's shape."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.container.conftest import MakeRoot
from tests.container.programs import run
from tests.container.rows import TOOL_TEMPLATE, TOOL_USE, WEATHER
from tests.container.test_serve import Endpoint, serving
from tests.container.test_serve_streaming import streamed
from trainer import tool_calls

TIME = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
BERGEN = {"name": "get_weather", "arguments": {"city": "Bergen"}}


def calls_of(text: str, **options: Any) -> tuple[str | None, list[dict[str, Any]]]:
    said, calls = tool_calls.found(text, [WEATHER, TIME], **options)
    return said, [
        {"name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"])} for call in calls
    ]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Bergen"}}\n</tool_call>',
        '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Bergen\\"}"}',
        "<tool_call>\n<function=get_weather>\n<parameter=city>\nBergen\n</parameter>\n</function>\n</tool_call>",
        '{"name": "get_weather", "parameters": {"city": "Bergen"}}',
        '[{"name": "get_weather", "arguments": {"city": "Bergen"}}]',
    ],
)
def test_a_call_is_read_in_the_form_of_each_family(text: str) -> None:
    assert calls_of(text) == (None, [BERGEN])


def test_what_is_said_before_the_calls_stays_content_and_each_call_has_an_id() -> None:
    text = f"Let me look.\n<tool_call>{json.dumps(BERGEN)}</tool_call>\n<tool_call>{json.dumps(BERGEN)}</tool_call>"
    assert calls_of(text) == ("Let me look.", [BERGEN, BERGEN])
    assert calls_of(text, single=True) == ("Let me look.", [BERGEN])
    ids = {call["id"] for call in tool_calls.found(text, [WEATHER])[1]}
    assert len(ids) == 2


@pytest.mark.parametrize(
    "text",
    [
        "It rains.",
        '{"city": "Bergen"}',
        '<tool_call>{"name": "rm", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "get_weather", "arguments": </tool_call>',
        "{not json",
    ],
)
def test_what_calls_no_tool_that_was_offered_stays_text(text: str) -> None:
    assert calls_of(text) == (text, [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"Let me look. <tool_call>{json.dumps(BERGEN)}</tool_call>", "Let me look."),
        (json.dumps(BERGEN), ""),
        ("If a <b, it rains.", "If a <b, it rains."),
        ("{so it is}", "{so it is}"),
    ],
)
def test_a_streamed_call_is_held_back_and_text_is_not_lost(text: str, said: str) -> None:
    buffer = tool_calls.Buffer([WEATHER], single=False)
    grown = [buffer.grow(letter, final=False) for letter in text]
    last, calls = buffer.grow("", final=True)
    assert "".join(free for free, _ in grown) + last == said
    assert bool(calls) == ("get_weather" in text)


@pytest.fixture(scope="module")
def endpoint(make_root: MakeRoot, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """The tiny model, taught to call a tool and to speak about what it answers."""
    base = tmp_path_factory.mktemp("tools") / "model"
    shutil.copytree(tiny, base)
    (base / "chat_template.jinja").write_text(TOOL_TEMPLATE)
    root = make_root(rows=[json.dumps(TOOL_USE)] * 8, hyperparameters={"batch_size": 4, "epochs": 20})
    (root / "input" / "data" / "model").unlink()
    (root / "input" / "data" / "model").symlink_to(base)
    assert run("trainer.train", "--root", root).exit_code == 0
    yield from serving(tmp_path_factory.mktemp("serve"), base, root / "model")


ASKED = {"messages": TOOL_USE["messages"][:1], "tools": [WEATHER], "max_tokens": 60}


def test_a_model_that_was_taught_a_tool_calls_it_through_the_server(endpoint: Endpoint) -> None:
    status, content = endpoint.ask(**ASKED)
    assert status == 200, content
    choice = content["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    [call] = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Bergen"}
    answered = [*ASKED["messages"], choice["message"]]
    answered.append({"role": "tool", "tool_call_id": call["id"], "content": "8 degrees, rain"})
    _, content = endpoint.ask(**ASKED | {"messages": answered})
    assert content["choices"][0]["message"]["content"] == "Yes, it rains."


def test_a_streamed_call_comes_as_deltas_of_a_call(endpoint: Endpoint) -> None:
    chunks = [event["choices"][0] for event in streamed(endpoint, **ASKED)[:-1]]
    assert chunks[-1]["finish_reason"] == "tool_calls"
    [call] = [call for chunk in chunks for call in chunk["delta"].get("tool_calls", [])]
    assert (call["index"], call["function"]["name"]) == (0, "get_weather")
    assert json.loads(call["function"]["arguments"]) == {"city": "Bergen"}
    assert not any(chunk["delta"].get("content") for chunk in chunks)


def test_tools_that_may_not_be_called_are_not_shown(endpoint: Endpoint) -> None:
    _, shown = endpoint.ask(**ASKED)
    _, hidden = endpoint.ask(**ASKED, tool_choice="none")
    assert hidden["usage"]["prompt_tokens"] < shown["usage"]["prompt_tokens"]
    assert "tool_calls" not in hidden["choices"][0]["message"]


@pytest.mark.parametrize(
    ("calls", "param"),
    [
        ("x", "messages[1].tool_calls"),
        ([{"type": "function"}], "messages[1].tool_calls[0]"),
        (
            [{"type": "function", "function": {"name": "f", "arguments": "{"}}],
            "messages[1].tool_calls[0].function.arguments",
        ),
    ],
)
def test_a_call_that_is_none_is_named(endpoint: Endpoint, calls: Any, param: str) -> None:
    messages = [*ASKED["messages"], {"role": "assistant", "tool_calls": calls}]
    status, content = endpoint.ask(**ASKED | {"messages": messages})
    assert (status, content["error"]["param"]) == (400, param)
