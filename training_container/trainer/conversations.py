"""From a row to the conversations in it, in the shape that chat templates take, and which turns of them are taught."""

import json
from dataclasses import dataclass
from typing import Any

from luthier.datasets.rows import Row

Message = dict[str, Any]
# The turns that are taught, as ranges of messages: the first one and the one behind the last.
Turn = tuple[int, int]

_PAIRS = {"prompt_completion": ("prompt", "completion"), "input_output": ("input", "output")}
_COMPLETIONS = {"preference": ("chosen", "rejected"), "unpaired": ("completion",)}
# What a template may read of a message; `weight` is ours.
_MESSAGE_KEYS = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name")


@dataclass(frozen=True)
class Conversation:
    """`tools` are JSON schemas of functions, as in OpenAI's API; None if the row has none."""

    messages: list[Message]
    turns: list[Turn]
    tools: list[dict[str, Any]] | None = None

    @property
    def speaking(self) -> list[int]:
        """Where the assistant speaks, taught or not."""
        return [index for index, message in enumerate(self.messages) if message["role"] == "assistant"]

    def calls(self, turn: Turn) -> list[dict[str, Any]]:
        """The functions called in a turn, each with name and arguments."""
        return [call["function"] for message in self.messages[slice(*turn)] for call in message.get("tool_calls", ())]


def of(row: Row) -> list[Conversation]:
    """One conversation per answer that the row holds: chosen before rejected. Plain text has none."""
    if row.format == "messages":
        return [_taught(row.fields["messages"], row.fields.get("tools"))]
    if row.format in _PAIRS:
        asked, answered = _PAIRS[row.format]
        return [_answered(row.fields[asked], row.fields[answered], row.fields.get("tools"))]
    tools = row.fields.get("tools")
    return [_answered(row.fields["prompt"], row.fields[name], tools) for name in _COMPLETIONS.get(row.format, ())]


def is_conversational(row: Row) -> bool:
    """Whether the row gives messages, which only a chat template can turn into text."""
    return any(isinstance(row.fields.get(name), list) for name in ("messages", "prompt", "chosen", "completion"))


def _taught(messages: list[Message], tools: Any) -> Conversation:
    turns = [
        (index, index + 1)
        for index, message in enumerate(messages)
        if message["role"] == "assistant" and message.get("weight", 1)
    ]
    return Conversation([plain(message) for message in messages], turns, tools or None)


def _answered(asked: Any, answered: Any, tools: Any) -> Conversation:
    before, after = _listed(asked, "user"), _listed(answered, "assistant")
    messages = [plain(message) for message in [*before, *after]]
    return Conversation(messages, [(len(before), len(messages))], tools or None)


def _listed(given: Any, role: str) -> list[Message]:
    return given if isinstance(given, list) else [{"role": role, "content": given}]


def plain(message: Message) -> Message:
    plain = {key: message[key] for key in _MESSAGE_KEYS if message.get(key)}
    # Templates crash on null or print it; servers hand them an empty text where a message only calls tools.
    plain["content"] = message.get("content") or ""
    if "tool_calls" in plain:
        plain["tool_calls"] = [_call(call) for call in plain["tool_calls"]]
    return plain


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """Arguments as an object: OpenAI writes them as JSON in a string, which templates would quote a second time."""
    function = dict(call["function"])
    if isinstance(function.get("arguments"), str):
        function["arguments"] = json.loads(function["arguments"] or "{}")
    return {**call, "type": "function", "function": function}
