"""Whether an uploaded file can be read as requests: OpenAI's batch input, one JSON object per line."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from luthier.batches.entity import LONGEST_CUSTOM_ID, LONGEST_LINE, MOST_LINES, Line
from luthier.wire import LONGEST_NAME

_MOST_ERRORS = 100
_KEYS = {"custom_id", "method", "url", "body"}


@dataclass
class Validated:
    """`requests`: how many there are; model: what all of them ask; errors: {code, line, message, param}."""

    requests: int = 0
    model: str = ""
    errors: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, code: str, message: str, *, line: int | None = None, param: str | None = None) -> None:
        self.errors.append({"code": code, "line": line, "message": message, "param": param})


class _Fault(Exception):
    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


def validate(lines: Iterable[Line], endpoint: str) -> Validated:
    """Judge a file's lines for a batch at an endpoint. What is inside a body is judged when it is asked."""
    found, seen = Validated(), set[str]()
    for line in lines:
        found.requests += 1
        if found.requests > MOST_LINES:
            found.refuse(code="too_many_requests", message=f"A batch takes {MOST_LINES:,} requests; split the file.")
            break
        for fault in _faults(line.text, endpoint, seen, found):
            found.refuse(fault.code, fault.message, line=line.number, param=fault.param)
        if len(found.errors) >= _MOST_ERRORS:
            break
    if not found.requests:
        found.refuse(code="empty_file", message="The file has no requests; write one JSON object per line.")
    return found


def _faults(text: bytes, endpoint: str, seen: set[str], found: Validated) -> Iterator[_Fault]:
    try:
        row = _row(text)
    except _Fault as fault:
        yield fault
        return
    yield from _custom_id(row.get("custom_id"), seen)
    if unknown := sorted(row.keys() - _KEYS):
        yield _Fault(
            code="unknown_field", message=f"Unknown field {unknown[0][:80]!r}; known are {', '.join(sorted(_KEYS))}."
        )
    if row.get("method") != "POST":
        yield _Fault(code="invalid_value", message="method must be POST.", param="method")
    if row.get("url") != endpoint:
        yield _Fault(code="invalid_value", message=f"url must be {endpoint}, as the batch's endpoint.", param="url")
    yield from _body(row.get("body"), found)


def _row(text: bytes) -> dict[str, Any]:
    if len(text) > LONGEST_LINE:
        raise _Fault(code="line_too_long", message=f"The line is longer than {LONGEST_LINE:,} bytes.")
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):
        raise _Fault(code="invalid_json_line", message="The line is no JSON object in UTF-8.") from None
    if not isinstance(row, dict):
        raise _Fault(code="invalid_json_line", message="The line is JSON, but no object.")
    return row


def _custom_id(given: Any, seen: set[str]) -> Iterator[_Fault]:
    if not isinstance(given, str) or not 1 <= len(given) <= LONGEST_CUSTOM_ID:
        yield _Fault(
            code="missing_field",
            message=f"custom_id must be a text of 1 to {LONGEST_CUSTOM_ID} characters.",
            param="custom_id",
        )
    elif given in seen:
        yield _Fault(
            code="duplicate_custom_id",
            message=f"An earlier line has the custom_id {given[:80]!r} too.",
            param="custom_id",
        )
    else:
        seen.add(given)


def _body(body: Any, found: Validated) -> Iterator[_Fault]:
    if not isinstance(body, dict):
        yield _Fault(code="missing_field", message="body must be an object: the request.", param="body")
        return
    model = body.get("model")
    if not isinstance(model, str) or not 1 <= len(model) <= LONGEST_NAME or not model.isprintable():
        yield _Fault(code="missing_field", message="body.model must name a model.", param="body.model")
    elif found.model and model != found.model:
        message = f"All requests of a batch ask one model; the first line asks {found.model[:80]!r}."
        yield _Fault(code="mismatched_model", message=message, param="body.model")
    found.model = found.model or (model if isinstance(model, str) else "")
