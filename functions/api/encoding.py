"""JSON as surfaces read and write it."""

import json
from math import isinf
from typing import Any

from pydantic import BaseModel

from luthier.errors import InvalidRequest


def to_json(body: Any) -> str:
    """A wire model or a plain value as compact JSON."""
    if isinstance(body, BaseModel):
        return body.model_dump_json(by_alias=True)
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False)


def from_json(text: str) -> dict[str, Any]:
    """The JSON object in a request body; whatever else it holds is an InvalidRequest that says where."""
    try:
        value = json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
        # Half of a surrogate pair can be written as \\ud800, and no answer could ever carry it.
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as fault:
        raise InvalidRequest(
            f"The body is not valid JSON: {fault.msg} at line {fault.lineno}, column {fault.colno}.",
            code="invalid_json",
        ) from None
    except UnicodeEncodeError:
        raise InvalidRequest("The body holds half of a surrogate pair.", code="invalid_json") from None
    except (ValueError, RecursionError) as fault:
        raise InvalidRequest(f"The body is not valid JSON: {fault}.", code="invalid_json") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"The body must be a JSON object, not {_kind(value)}.", code="invalid_json")
    return value


def _refuse_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError(f"{digits[:20]} is too large")
    return number


def _kind(value: Any) -> str:
    names = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
