"""Corrects in a bad row what its finding says how to correct, where that takes no judgement.

Each function changes the row in place and says by which name it did.
"""

import json
from collections.abc import Iterator
from typing import Any

from luthier.datasets.messages import role_named
from luthier.datasets.texts import without_control_characters

_TEXTS = ("prompt", "completion", "input", "output", "text", "chosen", "rejected")
_CONVERSATIONS = ("messages", "prompt", "completion", "chosen", "rejected", "preferred_output", "non_preferred_output")
_LABELS = {0: False, 1: True, "0": False, "1": True, "false": False, "true": True}
_MOST_COMMAS = 100


def mend(fields: dict[str, Any], method: str | None) -> Iterator[str]:
    """Correct a row; yields the name of each kind of correction that was made."""
    yield from _foreign_keys(fields)
    if isinstance(given := fields.get("input"), dict):
        yield from _functions(given)
        yield from _conversation(given.get("messages"))
    yield from _functions(fields)
    for key in _CONVERSATIONS:
        yield from _conversation(fields.get(key))
    for key in _TEXTS:
        if key in fields and not _is_conversation(fields[key]):
            yield from _text(fields, key)
    label = fields.get("label")
    if method == "kto" and isinstance(label, str | int | float) and not isinstance(label, bool):
        label = label.lower() if isinstance(label, str) else label
        if label in _LABELS:
            fields["label"] = _LABELS[label]
            yield "label"


def mend_json(line: str) -> str:
    """The line without the brackets of a document around it, and without commas after the last item."""
    line = line.strip()
    if line.startswith("[{"):
        line = line[1:]
    if line.endswith(("}]", "}],")):
        line = line.rstrip(",")[:-1]
    line = line.rstrip(",")
    for _ in range(_MOST_COMMAS):
        try:
            json.loads(line)
            break
        except json.JSONDecodeError as error:
            before, after = line[: error.pos].rstrip(), line[error.pos :].lstrip()
            if not before.endswith(",") or after[:1] not in ("}", "]"):
                break
            line = before[:-1] + after
        except (ValueError, RecursionError):
            break
    return line


def _is_conversation(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, dict) and "role" in item for item in value)


def _foreign_keys(fields: dict[str, Any]) -> Iterator[str]:
    turns = fields.get("conversations")
    if isinstance(turns, list) and "messages" not in fields and all(isinstance(turn, dict) for turn in turns):
        for turn in turns:
            for theirs, ours in (("from", "role"), ("value", "content")):
                if theirs in turn and ours not in turn:
                    turn[ours] = turn.pop(theirs)
        fields["messages"] = fields.pop("conversations")
        yield "conversations"
    texts = [fields.get("instruction"), fields.get("input", "")]
    if all(isinstance(text, str) for text in texts) and "output" in fields and not {"prompt", "messages"} & set(fields):
        fields["prompt"] = "\n\n".join(text for text in texts if text)
        fields["completion"] = fields.pop("output")
        del fields["instruction"]
        fields.pop("input", None)
        yield "instruction"


def _functions(fields: dict[str, Any]) -> Iterator[str]:
    functions = fields.get("functions")
    if functions and isinstance(functions, list) and not fields.get("tools"):
        fields["tools"] = [{"type": "function", "function": function} for function in functions]
        del fields["functions"]
        yield "functions"


def _conversation(messages: Any) -> Iterator[str]:
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        role = role_named(given := message.get("role"))
        if role and role != given:
            message["role"] = role
            yield "role"
        if message.get("content") is not None:
            yield from _text(message, "content")
        if message.get("role") != "assistant" and message.get("weight") is not None:
            del message["weight"]
            yield "weight"


def _text(fields: dict[str, Any], key: str) -> Iterator[str]:
    """Make the value a string without control characters, if it is one that is written differently."""
    value = fields[key]
    if isinstance(value, int | float) and not isinstance(value, bool):
        fields[key] = json.dumps(value)
        yield "number"
    elif isinstance(value, list) and (parts := list(map(_part, value))) and None not in parts:
        fields[key] = "".join(part for part in parts if part)
        yield "parts"
    if isinstance(fields[key], str) and (clean := without_control_characters(fields[key])) != fields[key]:
        fields[key] = clean
        yield "control_character"


def _part(value: Any) -> str | None:
    """The text of a content part in OpenAI's shape; None for pictures and the like."""
    if isinstance(value, dict) and value.get("type", "text") == "text":
        value = value.get("text")
    return value if isinstance(value, str) else None
