"""OpenAI's chunks: read from an engine's server-sent events, and gathered into the answer that they make up."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from luthier.errors import Unavailable

Chunk = dict[str, Any]


def read(parts: Iterable[bytes]) -> Iterator[Chunk]:
    """The JSON of each event up to `[DONE]`; parts may end anywhere. Raises Unavailable where the end is missing."""
    for line in _lines(parts):
        if line.startswith(b"data:"):
            data = line.removeprefix(b"data:").strip()
            if data == b"[DONE]":
                return
            yield json.loads(data)
    raise broken_off()


def broken_off() -> Unavailable:
    return Unavailable("The model broke off its answer.", code="model_failed", remedy="Try again.", retry_after=5)


def _lines(parts: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        yield from whole
    yield rest


def gathered(chunks: Iterable[Chunk]) -> dict[str, Any]:
    """The chat.completion or text_completion that was streamed in these chunks."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        answer |= {name: value for name, value in chunk.items() if name != "choices" and value is not None}
        for part in chunk["choices"]:
            choice = choices.setdefault(part["index"], {"index": part["index"], "logprobs": None})
            if "delta" in part:
                _grow(choice.setdefault("message", {"role": "assistant", "content": None}), part["delta"])
            else:
                choice["text"] = choice.get("text", "") + part["text"]
            choice["logprobs"] = _joined(choice["logprobs"], part.get("logprobs"))
            choice["finish_reason"] = part.get("finish_reason") or choice.get("finish_reason")
    answer["object"] = str(answer.get("object", "chat.completion")).removesuffix(".chunk")
    return answer | {"choices": [choices[index] for index in sorted(choices)]}


def _grow(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if name == "tool_calls":
            _grow_calls(message.setdefault(name, []), value or [])
        elif name != "role" and isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        else:
            message.setdefault(name, value)
    if message.get("tool_calls") and not message.get("content"):
        message["content"] = None


def _grow_calls(calls: list[dict[str, Any]], parts: Iterable[dict[str, Any]]) -> None:
    for part in parts:
        if part["index"] >= len(calls):
            calls.append({"id": None, "type": "function", "function": {"name": "", "arguments": ""}})
        call, function = calls[part["index"]], part.get("function") or {}
        call["id"] = part.get("id") or call["id"]
        for name in ("name", "arguments"):
            call["function"][name] += function.get(name) or ""


def _joined(told: dict[str, Any] | None, more: dict[str, Any] | None) -> dict[str, Any] | None:
    """Log-probabilities are lists side by side, of a chat in one, of a text in several."""
    if not told or not more:
        return told or more
    return {name: (told[name] or []) + (value or []) if value or told[name] else None for name, value in more.items()}
