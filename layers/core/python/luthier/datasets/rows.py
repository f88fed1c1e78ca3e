"""What one line of a training file must look like, and what to say when it does not.

`formats` names the formats; here a line becomes a row. The API checks uploads with it and the training container
reads its rows with it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from luthier.datasets.findings import BadRow, Fault, Finding
from luthier.datasets.formats import FORMATS, FORMATS_OF_METHOD, OPTIONAL_KEYS, format_of, wrong_columns
from luthier.datasets.json_objects import SAMPLE_ROW, parse_object
from luthier.datasets.messages import check_messages, spell_as_here
from luthier.datasets.preferences import check_preference, check_unpaired, normal_form
from luthier.datasets.texts import check_text
from luthier.datasets.tool_calls import check_tools, texts_of_calls, texts_of_tools

__all__ = ["FORMATS", "FORMATS_OF_METHOD", "SAMPLE_ROW", "BadRow", "Finding", "Row", "parse_row", "read_rows",
           "wrong_columns"]  # fmt: skip
MAX_FINDINGS_PER_ROW = 100
# Keys that may hold messages.
_CONVERSATIONS = ("messages", "prompt", "completion", "chosen", "rejected", "preferred_output", "non_preferred_output")


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be trained on: its object, and the format its keys gave away.

    fields: as in the file, but preferences and unpaired rows in one form: `prompt` with `chosen` and `rejected` or
    with `completion` and `label`; prompt and replies are all strings or all lists of messages.
    """

    format: str
    fields: dict[str, Any]

    @property
    def texts(self) -> list[str]:
        """Every text that reaches the tokenizer, in order."""
        texts = texts_of_tools(self.fields) if self.format in OPTIONAL_KEYS else []
        for key in FORMATS[self.format]:
            value = self.fields[key]
            if isinstance(value, str):
                texts.append(value)
            elif isinstance(value, list):
                texts += [text for message in value for text in _texts_of(message)]
        return texts

    @property
    def ignored_keys(self) -> list[str]:
        """Keys beside those of the format: kept in the file, not trained on."""
        known = FORMATS[self.format] + OPTIONAL_KEYS.get(self.format, ())
        return [key for key in self.fields if key not in known]


def parse_row(line: bytes | str, number: int = 1, method: str | None = None) -> Row:
    """The row in one line of JSONL; `number` is the line's place in its file.

    method: one of FORMATS_OF_METHOD; rows of formats that it does not take are bad (`wrong_columns`). Raises BadRow.
    """
    try:
        fields = parse_object(line)
        for key in _CONVERSATIONS:
            spell_as_here(fields.get(key))
        if isinstance(given := fields.get("input"), dict):
            spell_as_here(given.get("messages"))
        form = format_of(fields, method)
        faults = list(islice(_CHECKS[form](fields), MAX_FINDINGS_PER_ROW))
    except Fault as fault:
        faults = [fault]
    if faults:
        raise BadRow([fault.at(number) for fault in faults])
    return Row(form, normal_form(fields) if form in ("preference", "unpaired") else fields)


def read_rows(lines: Iterable[bytes | str], method: str | None = None) -> Iterator[Row]:
    """The rows of a file that was found good, blank lines skipped. Raises BadRow at the first bad line."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield parse_row(line, number, method)


def _texts_of(message: dict[str, Any]) -> Iterator[str]:
    if isinstance(message.get("content"), str):
        yield message["content"]
    yield from texts_of_calls(message)


def _check_chat(fields: dict[str, Any]) -> Iterator[Fault]:
    yield from check_messages(fields)
    yield from check_tools(fields)


def _check_pair(prompt: str, completion: str) -> Any:
    def check(fields: dict[str, Any]) -> Iterator[Fault]:
        yield from check_text(fields[prompt], f"/{prompt}", trained=False)
        yield from check_text(fields[completion], f"/{completion}", trained=True)

    return check


_CHECKS: dict[str, Any] = {
    "messages": _check_chat,
    "prompt_completion": _check_pair("prompt", "completion"),
    "input_output": _check_pair("input", "output"),
    "text": lambda fields: check_text(fields["text"], "/text", trained=True),
    "preference": check_preference,
    "unpaired": check_unpaired,
}
