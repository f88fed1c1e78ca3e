"""Reads the rows that have nothing but texts, which are most rows, at several times the speed of `rows.parse_row`.

msgspec decodes a line straight into its format's structure, so that keys and types are checked as it reads. What a
structure cannot say is checked here. Any doubt is resolved by leaving the line to `parse_row`, which then says why.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import msgspec

from luthier.datasets.identities import PLAIN
from luthier.datasets.json_objects import quotes
from luthier.datasets.messages import MOST_MESSAGES

# The hash that `identity` gives, the texts joined, their size in UTF-8, how many they are, and the structure.
PlainRow = tuple[int, str, int, int, Any]
Reader = Callable[[bytes], PlainRow | None]

# Escapes of control characters, and of the quote, which makes the quotes of a line impossible to count.
_ODD_ESCAPE = re.compile(rb"\\u00(?:0[0-8bBcCeEfF]|1|22)")
_REFUSALS = (msgspec.MsgspecError, ValueError)
# Conversations of more messages are seldom of a shape that was seen before, and theirs would take much memory.
_MESSAGES_REMEMBERED = 64
# The shortest key that may occur twice in a conversation, with an empty value.
_REPEATED_IN_MESSAGE = len('"content":"",')


def reader(form: str, own_keys: tuple[str, ...] = ()) -> Reader:
    """A function from a line to its row; None for lines that `parse_row` must read, every bad line among them.

    own_keys: those of the file's own that are expected in its rows, and ignored.
    """
    decode = msgspec.json.Decoder(_structure(form, own_keys)).decode
    return _conversations(decode, own_keys) if form == "messages" else _columns(decode, form, own_keys)


def own_keys_of(row: Any, own_keys: tuple[str, ...]) -> list[str]:
    """Which of its file's own keys a row has."""
    return [key for index, key in enumerate(own_keys) if getattr(row, f"own_{index}") is not msgspec.UNSET]


def _structure(form: str, own_keys: tuple[str, ...]) -> Any:
    if not own_keys:
        return PLAIN[form]
    names = {f"own_{index}": key for index, key in enumerate(own_keys)}
    fields = [(name, Any, msgspec.UNSET) for name in names]
    return msgspec.defstruct("Row", fields, bases=(PLAIN[form],), rename=names, frozen=True, forbid_unknown_fields=True)


def can_be_own_key(key: str) -> bool:
    """Whether a structure can name the key."""
    return key.isprintable() and not {'"', "\\"} & set(key)


def _conversations(decode: Callable[[bytes], Any], own_keys: tuple[str, ...]) -> Reader:
    def read(line: bytes) -> PlainRow | None:
        try:
            row = decode(line)
        except _REFUSALS:
            return None
        messages = row.messages
        contents = [message.content for message in messages]
        roles = tuple([message.role for message in messages])
        shape = _remembered_shape(roles) if len(roles) <= _MESSAGES_REMEMBERED else _shape(roles)
        if shape is None:
            return None
        for index in shape[0]:
            content = contents[index]
            if not content or content.isspace():
                return None
        text = "".join(contents)
        size = len(text) if text.isascii() else len(text.encode())
        count = len(contents)
        too_long = size + shape[1]
        if own_keys or len(line) >= too_long or b"\\" in line:
            own = _own_quotes(row, own_keys) if own_keys else 0
            if _doubtful(line, text, too_long, 2 + 8 * count + own):
                return None
        return hash((messages,)), text, size, count, row

    return read


def _own_quotes(row: Any, own_keys: tuple[str, ...]) -> int:
    return sum([2 + quotes(getattr(row, f"own_{own_keys.index(key)}")) for key in own_keys_of(row, own_keys)])


def _shape(roles: tuple[str, ...]) -> tuple[tuple[int, ...], int] | None:
    """Where the replies are, and what a line with empty texts and a key twice has at least; None if roles are wrong."""
    replies = tuple(index for index, role in enumerate(roles) if role == "assistant")
    if not replies or "system" in roles[1:] or len(roles) > MOST_MESSAGES:
        return None
    spelling = {"messages": [{"role": role, "content": ""} for role in roles]}
    return replies, len(msgspec.json.encode(spelling)) + _REPEATED_IN_MESSAGE


_remembered_shape = lru_cache(maxsize=4096)(_shape)


def _columns(decode: Callable[[bytes], Any], form: str, own_keys: tuple[str, ...]) -> Reader:
    names = PLAIN[form].__struct_fields__
    texts = len(names) - (form == "unpaired")
    # From where on the texts are to be learned: a preference has two of them.
    trained = 1 if form == "preference" else texts - 1
    # The shortest spelling around empty texts, and a key that occurs twice.
    spelling = len(msgspec.json.encode(dict.fromkeys(names, ""))) + min(len(f'"{name}":"",') for name in names)
    plain_quotes = 2 * (len(names) + texts)

    def read(line: bytes) -> PlainRow | None:
        try:
            row = decode(line)
        except _REFUSALS:
            return None
        values = tuple([getattr(row, name) for name in names])
        for value in values[trained:texts]:
            if not value or value.isspace():
                return None
        text = "".join(values[:texts])
        size = len(text) if text.isascii() else len(text.encode())
        own = _own_quotes(row, own_keys) if own_keys else 0
        if _doubtful(line, text, size + spelling, plain_quotes + own):
            return None
        if form == "preference" and values[1] == values[2]:
            return None
        return hash(values), text, size, texts, row

    return read


def _doubtful(line: bytes, text: str, too_long: int, quotes: int) -> bool:
    """Whether a key may occur twice, or a text may hold a control character.

    too_long: the least bytes of a line with a key twice, but for escapes; quotes: how many are not inside a text.
    A line below `too_long` has no room for a second key. In a longer one, the second key shows as quotes too many.
    """
    if b"\\" not in line:
        return len(line) >= too_long and line.count(b'"') != quotes
    if "\b" in text or "\f" in text or (b"\\u00" in line and _ODD_ESCAPE.search(line)):
        return True
    # Every escape takes at least one byte more than its character; a backslash is two, of which the text has one.
    escapes = line.count(b"\\") - (text.count("\\") if "\\" in text else 0)
    return len(line) >= too_long + escapes and line.count(b'"') != quotes + text.count('"')
