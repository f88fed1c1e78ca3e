"""Calls of tools: read from what a model writes, in the forms that chat templates teach.

Most families write `<tool_call>…</tool_call>` around JSON (Hermes, Qwen) or around `<function=…><parameter=…>` (Qwen's
coders). Others write bare JSON as their whole answer behind a special token, which decoding leaves out (Llama, Mistral,
Granite, Phi).
"""

import json
import re
from typing import Any

from trainer.sampling import BadRequest, new_id

_OPENING = "<tool_call>"
_TAGGED = re.compile(r"<tool_call>\s*(.*?)\s*(?:</tool_call>|$)", re.DOTALL)
_FUNCTION = re.compile(r"<function=([^>]+)>(.*?)(?:</function>|$)", re.DOTALL)
_PARAMETER = re.compile(r"<parameter=([^>]+)>\n?(.*?)\n?</parameter>", re.DOTALL)
# Marks of the families that write bare JSON.
_BARE = ("<|python_tag|>", "[TOOL_CALLS]", "<|tool_call|>", "<|tool_calls|>")

Call = dict[str, Any]


def is_taught(template: str) -> bool:
    """Whether a chat template shows tools, and calls of them in a form that is read here."""
    return "tools" in template and any(mark in template for mark in (_OPENING, *_BARE))


def checked(given: Any, place: str) -> list[Call]:
    """The calls of an assistant's message, as OpenAI writes them. Raises BadRequest."""
    if not isinstance(given, list):
        raise BadRequest(f"{place} must be a list.", place)
    for index, call in enumerate(given):
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise BadRequest(f"{place}[{index}] must have function.name.", f"{place}[{index}]")
        if _arguments(function.get("arguments")) is None:
            where = f"{place}[{index}].function.arguments"
            raise BadRequest(f"{where} must be a JSON object in a string.", where)
    return given


def found(text: str, tools: list[dict[str, Any]] | None, *, single: bool = False) -> tuple[str | None, list[Call]]:
    """What an answer says beside its calls, None for nothing, and the calls in OpenAI's shape.

    Only tools that were offered are called; whatever else looks like a call stays text.
    """
    if not tools:
        return text, []
    names = {tool["function"]["name"] for tool in tools}
    calls = _tagged(text) if _OPENING in text else _bare(text)
    if not calls or not all(call is not None and call[0] in names for call in calls):
        return text, []
    said = text.partition(_OPENING)[0].strip() if _OPENING in text else ""
    shaped = [
        {"id": new_id("call"), "type": "function", "function": {"name": call[0], "arguments": json.dumps(call[1])}}
        for call in calls
        if call
    ]
    return said or None, shaped[:1] if single else shaped


class Buffer:
    """Holds back what may be a call of a streamed answer until it is one, or is none."""

    def __init__(self, tools: list[dict[str, Any]], single: bool) -> None:
        self._tools = tools
        self._single = single
        self._held = ""
        self._said = False

    def grow(self, text: str, *, final: bool) -> tuple[str, list[Call]]:
        """The text that is no call, and at the end the calls."""
        self._held += text
        if final:
            rest, calls = found(self._held, self._tools, single=self._single)
            return rest or "", calls
        safe = self._safe()
        free, self._held = self._held[:safe], self._held[safe:]
        self._said = self._said or bool(free.strip())
        return free, []

    def _safe(self) -> int:
        """How many characters cannot belong to a call."""
        if not self._said and self._held.lstrip()[:1] in ("{", "[", ""):
            return 0
        start = self._held.find(_OPENING)
        if start < 0:
            start = len(self._held) - overlap(self._held, (_OPENING,))
        return len(self._held[:start].rstrip())


def overlap(text: str, words: tuple[str, ...]) -> int:
    """The length of the longest end of `text` that begins one of `words` without being all of it."""
    longest = max(map(len, words), default=1) - 1
    for size in range(min(longest, len(text)), 0, -1):
        if any(word.startswith(text[-size:]) for word in words):
            return size
    return 0


def _tagged(text: str) -> list[tuple[str, dict[str, Any]] | None]:
    return [_xml(inner) if "<function=" in inner else _json(inner) for inner in _TAGGED.findall(text)]


def _json(text: str) -> tuple[str, dict[str, Any]] | None:
    try:
        return _named(json.loads(text))
    except ValueError:
        return None


def _named(call: Any) -> tuple[str, dict[str, Any]] | None:
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = _arguments(call.get("arguments", call.get("parameters", {})))
    return None if arguments is None else (call["name"], arguments)


def _arguments(given: Any) -> dict[str, Any] | None:
    try:
        given = json.loads(given or "{}") if isinstance(given, str) else given
    except ValueError:
        return None
    return given if isinstance(given, dict) else None


def _xml(text: str) -> tuple[str, dict[str, Any]] | None:
    function = _FUNCTION.search(text)
    return (function[1], {name: _value(value) for name, value in _PARAMETER.findall(function[2])}) if function else None


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _bare(text: str) -> list[tuple[str, dict[str, Any]] | None]:
    try:
        value = json.loads(text)
    except ValueError:
        return []
    return [_named(call) for call in (value if isinstance(value, list) else [value])]
