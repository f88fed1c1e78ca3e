"""The JSON object in one line, and what to say when there is none.

Two readers, one judgement: msgspec reads nearly every line; what it refuses, and what it would let pass, the standard
library reads again, which can say where and why. RFC 8259 is taken strictly: no NaN, no key twice, no bytes that are
not UTF-8.
"""

import json
from collections import Counter
from typing import Any

import msgspec

from luthier.datasets.findings import Fault
from luthier.datasets.texts import brief, kind

SAMPLE_ROW = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
# What Python writes where JSON has something else.
_PYTHON = ("'", "None", "True", "False")
_DECODE = msgspec.json.Decoder().decode


def parse_object(line: bytes | str) -> dict[str, Any]:
    """The object in a line. Raises Fault."""
    try:
        value = _DECODE(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _parse_exactly(line)
    if type(value) is dict and not _may_repeat_a_key(line, value):
        return value
    return _parse_exactly(line)


def _may_repeat_a_key(line: bytes | str, value: dict[str, Any]) -> bool:
    """Whether the line has more strings than the value that was read from it: msgspec keeps the last of equal keys.

    A string has two quotes, and one more for each that is escaped inside; those written as \\u0022 cannot be counted.
    """
    if isinstance(line, bytes):
        return line.count(b'"') != quotes(value) or b"\\u0022" in line
    return line.count('"') != quotes(value) or "\\u0022" in line


def quotes(value: Any) -> int:
    """How many quotes the JSON of a value has, those that are escaped included."""
    kind_ = type(value)
    if kind_ is str:
        return 2 + value.count('"')
    if kind_ is dict:
        # Most values are texts; a call for each would be most of the cost.
        return sum([2 + key.count('"') + (2 + item.count('"') if type(item) is str else quotes(item))
                    for key, item in value.items()])  # fmt: skip
    return sum(map(quotes, value)) if kind_ is list else 0


def _parse_exactly(line: bytes | str) -> dict[str, Any]:
    try:
        text = line if isinstance(line, str) else line.decode("utf-8")
        # Windows editors begin a file with a byte order mark; json refuses it.
        value = _STRICT.decode(text.removeprefix("\ufeff"))
    except UnicodeDecodeError as error:
        place = f"byte 0x{error.object[error.start]:02x} at position {error.start}"
        raise Fault("invalid_utf8", "", f"The line is not valid UTF-8 ({place}).", "Save the file as UTF-8.") from None
    except RecursionError:
        raise Fault("invalid_json", "", "The line is nested too deeply.", f"Write rows like {SAMPLE_ROW}.") from None
    except ValueError as error:
        raise _json_fault(text, error) from None
    if not isinstance(value, dict):
        message = f"The line holds a JSON {kind(value)}, not an object."
        raise Fault("not_an_object", "", message, f"Write one object per line, such as {SAMPLE_ROW}.")
    return value


def _json_fault(text: str, error: ValueError) -> Fault:
    fix = _likely_cause(text, error) or (
        "Write one complete JSON object on this line; a line break inside a text is written \\n."
    )
    if isinstance(error, json.JSONDecodeError):
        return Fault("invalid_json", "", f"The line is not valid JSON: {error.msg} at column {error.colno}.", fix)
    reason = str(error) if "JSON" in str(error) else "a number has too many digits"
    return Fault("invalid_json", "", f"The line is not valid JSON: {reason}.", fix)


def _likely_cause(text: str, error: ValueError) -> str:
    """What a line that is no JSON looks like, and what to do then; empty if that cannot be told."""
    place = error.pos if isinstance(error, json.JSONDecodeError) else 0
    if text.strip() in ("[", "{", "]", "}") or text.lstrip().startswith("[{"):
        return "The file looks like one JSON document: write one object per line, without brackets and commas around."
    if "\r" in text[len(text[:place].rstrip()) : place]:
        return "The file ends its lines with carriage returns alone: save it with line feeds."
    if text.startswith(_PYTHON, place):
        return (
            'The line looks like a Python dict: write it with json.dumps, which quotes with " and knows true and null.'
        )
    if not text.lstrip().startswith(("{", "[")) and any(separator in text for separator in ",;\t"):
        return f"The line looks like CSV: write each record as a JSON object under the header's names, as {SAMPLE_ROW}."
    return ""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise Fault("duplicate_key", "", f"The key {brief(twice)} occurs twice in one object.", "Keep one of the two.")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


# Made once: json.loads would make it anew for every line.
_STRICT = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
