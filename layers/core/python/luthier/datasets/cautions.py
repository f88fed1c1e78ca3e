"""What makes a good row suspicious: warnings that do not keep it from being trained on."""

from collections.abc import Iterator
from typing import Any

from luthier.datasets.control_tokens import control_tokens
from luthier.datasets.findings import Fault
from luthier.datasets.formats import FORMATS, OPTIONAL_KEYS
from luthier.datasets.rows import Row
from luthier.datasets.secret_patterns import secrets_in
from luthier.datasets.tool_calls import undeclared


def cautions(row: Row) -> Iterator[Fault]:
    """The warnings about one row by itself."""
    fields = row.fields
    if row.format == "preference" and fields["chosen"] == fields["rejected"]:
        text = "The better and the worse reply are the same: the row teaches nothing."
        yield Fault("identical_pair", "/rejected", text, "Drop the line, or write the worse reply.")
    if fields.get("tools") and row.format in OPTIONAL_KEYS:
        for key in FORMATS[row.format]:
            if isinstance(fields[key], list):
                yield from undeclared(fields[key], fields["tools"], f"/{key}")
    yield from control_tokens(texts_for_template(row))


def texts_for_template(row: Row) -> Iterator[tuple[str, str]]:
    """(pointer, text) of what a chat template writes between its own tokens; none of plain text, which has none."""
    for key in FORMATS[row.format] if row.format != "text" else ():
        yield from _texts(row.fields[key], f"/{key}")


def secrets(row: Row) -> Iterator[Fault]:
    """A warning for each kind of secret in each text that is trained on or read."""
    for key in (*FORMATS[row.format], *OPTIONAL_KEYS.get(row.format, ())):
        for pointer, text in _texts(row.fields.get(key), f"/{key}"):
            for kind in secrets_in(text):
                message = f"The text seems to hold {kind}; a model can repeat what it was trained on."
                yield Fault("likely_secret", pointer, message, "Replace it by a placeholder, and revoke it if real.")


def _texts(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """(pointer, text) of every string in a value."""
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, list | dict):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in items:
            yield from _texts(item, f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}")
