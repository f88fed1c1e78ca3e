"""What one line of a training file must look like, and what to say when it does not.

Four formats, told apart by their keys; a file keeps to one:

    messages           {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
    prompt_completion  {"prompt": "…", "completion": "…"}
    input_output       {"input": "…", "output": "…"}
    text               {"text": "…"}

Standard library only: the API checks uploads with it and the training container reads its rows with it.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

FORMATS: dict[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "prompt_completion": ("prompt", "completion"),
    "input_output": ("input", "output"),
    "text": ("text",),
}
MAX_FINDINGS_PER_ROW = 100
ROLES = ("system", "user", "assistant")
SAMPLE_ROW = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'

# Names that other tools give to the three roles; only used to word the fix.
_ROLE_HINTS = {"human": "user", "customer": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant",
               "ai": "assistant", "developer": "system"}  # fmt: skip
_UNTRAINABLE_ROW_KEYS = ("tools", "functions")
_UNTRAINABLE_MESSAGE_KEYS = ("tool_calls", "function_call")
_PARTNERS = {"prompt": "completion", "completion": "prompt", "input": "output", "output": "input"}
# Keys of formats in wide use elsewhere, which would otherwise be dropped in silence beside input and output.
_FOREIGN_KEYS = {
    "instruction": "Join instruction and input into 'prompt' and rename 'output' to 'completion'.",
    "conversations": "Rename 'conversations' to 'messages', 'from' to 'role' and 'value' to 'content'.",
    "chosen": "Supervised fine-tuning takes one reply per row: write it as 'completion', or as messages.",
}
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. `line` counts from 1 (0: the file as a whole); `pointer` is a JSON pointer into the row."""

    line: int
    code: str
    pointer: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be trained on: the parsed object as it was, and the format its keys gave away."""

    format: str
    fields: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        """Every text that reaches the tokenizer, in order."""
        if self.format == "messages":
            return [message["content"] for message in self.fields["messages"]]
        return [self.fields[key] for key in FORMATS[self.format]]

    @property
    def ignored_keys(self) -> list[str]:
        """Keys beside those of the format: kept in the file, not trained on."""
        return [key for key in self.fields if key not in FORMATS[self.format]]


class BadRow(ValueError):
    """The line cannot be trained on. `findings` holds every reason, up to MAX_FINDINGS_PER_ROW."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(f"line {f.line} {f.pointer}: {f.message}" for f in findings))
        self.findings = findings


def parse_row(line: bytes | str, number: int = 1) -> Row:
    """The row in one line of JSONL; `number` is the line's place in its file. Raises BadRow."""
    try:
        fields = _parse_object(line)
        form = _format_of(fields)
        checks = chain(_untrainable(fields, _UNTRAINABLE_ROW_KEYS, ""), _CHECKS[form](fields))
        faults = list(islice(checks, MAX_FINDINGS_PER_ROW))
    except _Fault as fault:
        faults = [fault]
    if faults:
        raise BadRow([Finding(number, *fault.args) for fault in faults])
    return Row(form, fields)


def read_rows(lines: Iterable[bytes | str]) -> Iterator[Row]:
    """The rows of a file that was found good, blank lines skipped. Raises BadRow at the first bad line."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield parse_row(line, number)


class _Fault(Exception):
    """args = (code, pointer, message, fix): a finding that does not know its line yet."""


def _parse_object(line: bytes | str) -> dict[str, Any]:
    try:
        text = line if isinstance(line, str) else line.decode("utf-8")
        # Windows editors begin a file with a byte order mark; json refuses it.
        value = _DECODER.decode(text.removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        place = f"byte 0x{line[error.start]:02x} at position {error.start}"
        raise _Fault("invalid_utf8", "", f"The line is not valid UTF-8 ({place}).", "Save the file as UTF-8.") from None
    except RecursionError:
        raise _Fault("invalid_json", "", "The line is nested too deeply.", f"Write rows like {SAMPLE_ROW}.") from None
    except ValueError as error:
        raise _json_fault(text, error) from None
    if not isinstance(value, dict):
        message = f"The line holds a JSON {_kind(value)}, not an object."
        raise _Fault("not_an_object", "", message, f"Write one object per line, such as {SAMPLE_ROW}.")
    return value


def _json_fault(text: str, error: ValueError) -> _Fault:
    fix = "Write one complete JSON object on this line; a line break inside a text is written \\n."
    if text.strip() in ("[", "{", "]", "}") or text.lstrip().startswith("[{"):
        fix = "The file looks like one JSON document: write one object per line, without brackets and commas around."
    if isinstance(error, json.JSONDecodeError):
        return _Fault("invalid_json", "", f"The line is not valid JSON: {error.msg} at column {error.colno}.", fix)
    reason = str(error) if "JSON" in str(error) else "a number has too many digits"
    return _Fault("invalid_json", "", f"The line is not valid JSON: {reason}.", fix)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise _Fault(
            "duplicate_key", "", f"The key {_brief(twice)} occurs twice in one object.", "Keep one of the two."
        )
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


# Made once: json.loads would make it anew for every line.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)


def _format_of(fields: dict[str, Any]) -> str:
    for key, fix in _FOREIGN_KEYS.items():
        if key in fields and "messages" not in fields:
            raise _Fault("unknown_format", f"/{key}", f"The key {key!r} belongs to another format.", fix)
    complete = [form for form, keys in FORMATS.items() if all(key in fields for key in keys)]
    if len(complete) == 1:
        return complete[0]
    if complete:
        message = f"The row has the keys of several formats: {', '.join(complete)}."
        raise _Fault("ambiguous_format", "", message, "Keep the keys of one format.")
    for key, other in _PARTNERS.items():
        if key in fields:
            message = f"The row has {key!r} but no {other!r}."
            raise _Fault("missing_key", f"/{other}", message, f"Add {other!r} as a string.")
    found = ", ".join(map(_brief, list(fields)[:8])) or "no keys"
    raise _Fault("unknown_format", "", f"No known format has these keys: {found}.", f"Write rows like {SAMPLE_ROW}.")


def _check_messages(fields: dict[str, Any]) -> Iterator[_Fault]:
    messages = fields["messages"]
    if not isinstance(messages, list):
        yield _wrong_type("/messages", "a list of messages", messages)
    elif not messages:
        yield _Fault("empty_messages", "/messages", "The conversation is empty.", "Add messages or drop the line.")
    else:
        for index, message in enumerate(messages):
            yield from _check_message(message, index)
        if not any(isinstance(message, dict) and message.get("role") == "assistant" for message in messages):
            fix = "Add the reply to learn as a message with role 'assistant'."
            yield _Fault("no_trained_token", "/messages", "No assistant message: nothing would be trained.", fix)


def _check_message(message: Any, index: int) -> Iterator[_Fault]:
    pointer = f"/messages/{index}"
    if not isinstance(message, dict):
        yield _wrong_type(pointer, "an object with role and content", message)
        return
    role = message.get("role")
    yield from _check_role(role, index)
    if len(message) > 2:
        yield from _check_extras(message, pointer)
    if message.get("content") is None:
        fix = "Add 'content' as a string."
        yield _Fault("missing_content", f"{pointer}/content", "The message has no content.", fix)
    else:
        yield from _check_text(message["content"], f"{pointer}/content", trained=role == "assistant")


def _check_extras(message: dict[str, Any], pointer: str) -> Iterator[_Fault]:
    yield from _untrainable(message, _UNTRAINABLE_MESSAGE_KEYS, pointer)
    if message.get("weight", 1) != 1:
        fix = "Remove 'weight': every assistant message is trained with weight 1."
        yield _Fault("unsupported_key", f"{pointer}/weight", "Weighted messages are not supported.", fix)


def _check_role(role: Any, index: int) -> Iterator[_Fault]:
    pointer = f"/messages/{index}/role"
    if role not in ROLES:
        hint = _ROLE_HINTS.get(role) if isinstance(role, str) else None
        fix = f"Write {hint!r}." if hint else f"Use one of {', '.join(ROLES)}."
        yield _Fault("unknown_role", pointer, f"The role {_brief(role)} is not known.", fix)
    elif role == "system" and index > 0:
        fix = "Move the system message to the front, or fold it into a user message."
        yield _Fault("misplaced_system", pointer, "A system message must be the first message.", fix)


def _check_pair(prompt: str, completion: str) -> Any:
    def check(fields: dict[str, Any]) -> Iterator[_Fault]:
        yield from _check_text(fields[prompt], f"/{prompt}", trained=False)
        yield from _check_text(fields[completion], f"/{completion}", trained=True)

    return check


def _check_text(value: Any, pointer: str, *, trained: bool) -> Iterator[_Fault]:
    if not isinstance(value, str):
        yield _wrong_type(pointer, "a string", value)
    elif trained and not value.strip():
        fix = "Write the text to learn, or drop the line."
        yield _Fault("no_trained_token", pointer, "The text to learn is empty: nothing would be trained.", fix)
    elif not value.isprintable():
        yield from _check_characters(value, pointer)


def _check_characters(text: str, pointer: str) -> Iterator[_Fault]:
    if found := _CONTROL_CHARACTER.search(text):
        message = f"The text contains the control character U+{ord(found[0]):04X} at position {found.start()}."
        yield _Fault("control_character", pointer, message, "Remove it; tab and line breaks are allowed.")
    elif not text.isascii() and not _encodable(text):
        fix = "Write the whole character, or both halves of its \\u escape pair."
        yield _Fault("invalid_unicode", pointer, "The text contains half of a surrogate pair.", fix)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _untrainable(fields: dict[str, Any], keys: tuple[str, ...], pointer: str) -> Iterator[_Fault]:
    for key in keys:
        # An empty list or null says the same as leaving the key out, and exporters write both.
        if fields.get(key):
            message = f"{key!r} cannot be trained on: tool use is not supported."
            yield _Fault("unsupported_key", f"{pointer}/{key}", message, "Drop the key, or the line.")


def _wrong_type(pointer: str, wanted: str, value: Any) -> _Fault:
    message = f"Expected {wanted}, found a JSON {_kind(value)}."
    fix = "Join the parts into one string." if wanted == "a string" and isinstance(value, list) else f"Write {wanted}."
    return _Fault("wrong_type", pointer, message, fix)


def _kind(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 40 else f"{text[:37]}…"


_CHECKS: dict[str, Any] = {
    "messages": _check_messages,
    "prompt_completion": _check_pair("prompt", "completion"),
    "input_output": _check_pair("input", "output"),
    "text": lambda fields: _check_text(fields["text"], "/text", trained=True),
}
