"""When two rows are the same: a 64-bit hash of what is trained on, whatever the spelling of the line.

White space, the order of keys, escapes and ignored keys make no difference. The hash is Python's own, of structures
that msgspec makes: fast, and valid in one process only.
"""

import json
from typing import Any, Literal

import msgspec

from luthier.datasets.formats import OPTIONAL_KEYS
from luthier.datasets.rows import Row


class Message(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    role: Literal["system", "user", "assistant"]
    content: str


class Messages(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    messages: tuple[Message, ...]


class PromptCompletion(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    prompt: str
    completion: str


class InputOutput(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    input: str
    output: str


class Text(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    text: str


class Preference(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    prompt: str
    chosen: str
    rejected: str


class Unpaired(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    prompt: str
    completion: str
    label: bool


# A row of its format's keys and nothing but texts; most rows are.
PLAIN: dict[str, type[msgspec.Struct]] = {
    "messages": Messages,
    "prompt_completion": PromptCompletion,
    "input_output": InputOutput,
    "text": Text,
    "preference": Preference,
    "unpaired": Unpaired,
}
_READ_BY_TRAINING = ("role", "content", "name", "weight", "tool_calls", "tool_call_id")


def identity(row: Row) -> int:
    """Equal for rows that train the same; the hash of the tuple of a plain row's values."""
    values = tuple([_canonical(row.fields[name]) for name in PLAIN[row.format].__struct_fields__])
    tools = row.fields.get("tools") if row.format in OPTIONAL_KEYS else None
    return hash((values, _encoded(tools))) if tools else hash(values)


def _canonical(value: Any) -> Any:
    return tuple(map(_message, value)) if isinstance(value, list) else value


def _message(message: dict[str, Any]) -> Any:
    read = {key: message[key] for key in _READ_BY_TRAINING if message.get(key) not in (None, [])}
    if read.get("weight") == 1:
        del read["weight"]
    if read.keys() == {"role", "content"} and read["role"] != "tool":
        return Message(**read)
    return _encoded(read)


def _encoded(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
