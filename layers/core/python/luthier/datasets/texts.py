"""What a text inside a row must be, and the words for values that are something else."""

import json
import re
from collections.abc import Iterator
from typing import Any

from luthier.datasets.findings import Fault

_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def check_text(value: Any, pointer: str, *, trained: bool) -> Iterator[Fault]:
    if not isinstance(value, str):
        yield wrong_type(pointer, "a string", value)
    elif trained and not value.strip():
        fix = "Write the text to learn, or drop the line."
        yield Fault("no_trained_token", pointer, "The text to learn is empty: nothing would be trained.", fix)
    elif not value.isprintable():
        yield from _check_characters(value, pointer)


def _check_characters(text: str, pointer: str) -> Iterator[Fault]:
    if found := _CONTROL_CHARACTER.search(text):
        message = f"The text contains the control character U+{ord(found[0]):04X} at position {found.start()}."
        yield Fault("control_character", pointer, message, "Remove it; tab and line breaks are allowed.")
    elif not text.isascii() and not _encodable(text):
        fix = "Write the whole character, or both halves of its \\u escape pair."
        yield Fault("invalid_unicode", pointer, "The text contains half of a surrogate pair.", fix)


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def without_control_characters(text: str) -> str:
    return _CONTROL_CHARACTER.sub("", text)


def wrong_type(pointer: str, wanted: str, value: Any) -> Fault:
    message = f"Expected {wanted}, found a JSON {kind(value)}."
    fix = "Join the parts into one string." if wanted == "a string" and isinstance(value, list) else f"Write {wanted}."
    return Fault("wrong_type", pointer, message, fix)


def kind(value: Any) -> str:
    """The JSON type of a value."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")


def brief(value: Any) -> str:
    """A value as JSON, short enough for a sentence."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 40 else f"{text[:37]}…"


def listed(words: tuple[str, ...] | list[str], joint: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return f" {joint} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
