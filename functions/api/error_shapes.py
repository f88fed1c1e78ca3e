"""The error body of each surface. Statuses, codes and sentences come from `luthier.errors`; only the shape differs."""

from collections.abc import Callable
from typing import Any

from luthier.errors import (
    Conflict,
    Forbidden,
    InsufficientCredits,
    Internal,
    InvalidRequest,
    LuthierError,
    NotEnabled,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    Unauthenticated,
    Unavailable,
    Unprocessable,
)
from luthier.wire import openai_error

# (error, request id, ISO 8601 time) → JSON-able body
Shape = Callable[[LuthierError, str, str], dict[str, Any]]

# An error names a value that it refuses, and a value may be as long as a body.
_LONGEST_MESSAGE, _LONGEST_PARAM, _LONGEST_DETAIL = 600, 120, 2_000


def bounded(error: LuthierError) -> LuthierError:
    """The error with what it repeats of a request cut in the middle, where that is long."""
    error.message = _cut(error.message, _LONGEST_MESSAGE)
    error.param = error.param and _cut(error.param, _LONGEST_PARAM)
    error.details = _bounded(error.details)
    return error


def _bounded(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _bounded(inner, name) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(inner) for inner in value]
    longest = {"message": _LONGEST_MESSAGE, "param": _LONGEST_PARAM}.get(key, _LONGEST_DETAIL)
    return _cut(value, longest) if isinstance(value, str) else value


def _cut(text: str, longest: int) -> str:
    half = (longest - 3) // 2
    return text if len(text) <= longest else f"{text[:half]} … {text[-half:]}"


def fine_tuning(error: LuthierError, request_id: str, now: str) -> dict[str, Any]:
    """`{"error": {"code", "message", "details"}}`; `details` is an object or null."""
    return {"error": {"code": error.code, "message": error.sentence(), "details": _details(error) or None}}


def tuning(error: LuthierError, request_id: str, now: str) -> dict[str, Any]:
    """`{"error": {"message", "code", "details"}}`: the code in capitals, `details` an object or null."""
    return {"error": {"message": error.sentence(), "code": error.code.upper(), "details": _details(error) or None}}


def playground(error: LuthierError, request_id: str, now: str) -> dict[str, Any]:
    """`{"error": {"code", "message"}}`: every refusal of a request is a `validation_error`, whatever is not there is
    `not_found`."""
    refused = isinstance(error, InvalidRequest) and error.status == 400
    code = "validation_error" if refused else "not_found" if isinstance(error, NotFound) else error.code
    return {"error": {"code": code, "message": error.sentence()}}


def openai(error: LuthierError, request_id: str, now: str) -> dict[str, Any]:
    """`{"error": {"message", "type", "param", "code"}}`: all four keys, always."""
    return {"error": openai_error(error.status, error.code, error.sentence(), error.param)}


# The codes that this surface's documentation gives to a whole family.
_TRAINING_CODES: dict[type[LuthierError], str] = {
    InvalidRequest: "VALIDATION_ERROR",
    Unauthenticated: "UNAUTHORIZED",
    InsufficientCredits: "INSUFFICIENT_CREDITS",
    Forbidden: "FORBIDDEN",
    NotFound: "RESOURCE_NOT_FOUND",
    Conflict: "STATE_CONFLICT",
    PayloadTooLarge: "PAYLOAD_TOO_LARGE",
    Unprocessable: "SEMANTIC_ERROR",
    RateLimited: "RATE_LIMIT_EXCEEDED",
    Internal: "INTERNAL_ERROR",
    NotEnabled: "NOT_ENABLED",
    Unavailable: "SERVICE_UNAVAILABLE",
}
_TRAINING_DETAILS: dict[type[LuthierError], dict[str, str]] = {
    InvalidRequest: {"param": "field"},
    Forbidden: {"required": "required_permission", "present": "current_permissions"},
    NotFound: {"param": "resource"},
    Conflict: {"param": "field", "current": "current_state", "required": "required_state"},
    Unprocessable: {"param": "field"},
}


def training_models(error: LuthierError, request_id: str, now: str) -> dict[str, Any]:
    """`{"error": "CODE", "message", "details", "code": <status>, "request_id", "timestamp"}`."""
    family = next((kind for kind in _TRAINING_CODES if isinstance(error, kind)), Internal)
    names = _TRAINING_DETAILS.get(family, {})
    details = {names.get(name, name): value for name, value in _details(error).items()}
    if family is InvalidRequest:
        details["reason"] = error.code
    if "modelId" in details and details.get("resource") == "model":
        del details["resource"]
    general = family is InvalidRequest or error.code == family.default_code
    return {
        "error": _TRAINING_CODES[family] if general else error.code.upper(),
        "message": error.sentence(),
        "details": details,
        "code": error.status,
        "request_id": request_id,
        "timestamp": now,
    }


def endpoints(error: LuthierError, request_id: str, now: str) -> dict[str, Any]:
    """The same, with the codes that this product's documentation of endpoints has for bad input and unknown ids."""
    body = training_models(error, request_id, now)
    if isinstance(error, InvalidRequest) and body["error"] == _TRAINING_CODES[InvalidRequest]:
        return body | {"error": "INVALID_INPUT"}
    if isinstance(error, NotFound) and error.param in ("deployment", "endpoint", "model"):
        return body | {"error": "ENDPOINT_NOT_FOUND"}
    return body


def _details(error: LuthierError) -> dict[str, Any]:
    details = {"param": error.param} if error.param else {}
    if isinstance(error.details, dict):
        return details | error.details
    return details | {"problems": error.details} if error.details else details
