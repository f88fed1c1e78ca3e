"""Checking a request against its route: unknown names, types, ranges; every fault in words a client can act on."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from aws_lambda_powertools.event_handler.api_gateway import Response, Route
from aws_lambda_powertools.event_handler.middlewares.openapi_validation import OpenAPIRequestValidationMiddleware
from pydantic import BaseModel

from functions.api.encoding import from_json
from luthier.errors import InvalidRequest

# The one parameter that comes key by key: metadata[key]=value.
_KEYED = "metadata"
_SHOWN_PROBLEMS = 50
_SHOWN_CHARACTERS = 60


class UnsupportedMediaType(InvalidRequest):
    status = 415
    default_code = "unsupported_media_type"


class RequestValidation(OpenAPIRequestValidationMiddleware):
    """Powertools' validation of path, query, headers and body, with our own reading of the body."""

    def _get_body(self, app: Any) -> Any:
        content_type = (app.header("Content-Type") or "application/json").partition(";")[0].strip().lower()
        text = body_text(app.current_event)
        if text and content_type != "application/json":
            raise UnsupportedMediaType(f"The body is {content_type}.", remedy="Send Content-Type: application/json.")
        return from_json(text) if text.strip() else None


def body_bytes(event: Any) -> bytes:
    """The body as the client sent it."""
    if not event.is_base64_encoded:
        return (event.body or "").encode()
    try:
        return base64.b64decode(event.body or "", validate=True)
    except binascii.Error:
        raise InvalidRequest("The gateway passed on a body that is not base64.", code="invalid_encoding") from None


def body_text(event: Any) -> str:
    try:
        return body_bytes(event).decode()
    except UnicodeDecodeError as fault:
        raise InvalidRequest(f"The body is not UTF-8: byte {fault.start}.", code="invalid_encoding") from None


def refuse_unknown_names(app: Any, following: Callable[[Any], Response]) -> Response:
    """A misspelt filter must not list everything, and a field that a route without a body gets must not be lost."""
    route, event = app.context["_route"], app.current_event
    if route.security is not None:
        known = [field.alias for field in route.dependant.query_params]
        _refuse(event.query_string_parameters or {}, known, "query parameter", "unknown_parameter")
        if not route.dependant.body_params and not route.openapi_extensions and (text := body_text(event).strip()):
            _refuse(from_json(text), [], "field", "unknown_field")
    return following(app)


def _refuse(sent: Iterable[str], known: Sequence[str], kind: str, code: str) -> None:
    for name in sent:
        if (_KEYED if name.startswith(f"{_KEYED}[") else name) not in known:
            raise InvalidRequest(f"Unknown {kind} `{name}`.", code=code, param=name, remedy=nearest(name, known))


def nearest(name: str, known: Sequence[str]) -> str:
    """One sentence that leads from a wrong name to a right one."""
    if not known:
        return "This route takes none."
    if close := get_close_matches(name.lower(), [k.lower() for k in known], n=1):
        return f"Did you mean `{next(k for k in known if k.lower() == close[0])}`?"
    return f"Known: {', '.join(known)}."


def explain(problems: Sequence[dict[str, Any]], route: Route) -> InvalidRequest:
    """Validation problems as one error: the first in the message, all in the details."""
    told = [_tell(problem, route) for problem in problems[:_SHOWN_PROBLEMS]]
    # A misspelt name also leaves the right one missing; the misspelling is the news.
    told.sort(key=lambda problem: problem["code"] != "unknown_field")
    first = told[0]
    return InvalidRequest(
        first["message"],
        code=first["code"],
        param=first["param"],
        details={"problems": told, "count": len(problems)} if len(told) > 1 else None,
    )


def _tell(problem: dict[str, Any], route: Route) -> dict[str, Any]:
    place, *path = problem["loc"]
    param = _dotted(path) or place
    code, message = "invalid_value", f"`{param}` {_rule(problem)}"
    if problem["type"] == "extra_forbidden":
        code, message = "unknown_field", f"Unknown field `{param}`. {nearest(str(path[-1]), _known(route, path[:-1]))}"
    if problem["type"] == "missing":
        code, message = "missing_field", f"`{param}` is required." if path else "The request needs a JSON body."
    return {"param": param, "code": code, "message": message}


def _dotted(path: Sequence[str | int]) -> str:
    return re.sub(r"\.\[", "[", ".".join(f"[{step}]" if isinstance(step, int) else step for step in path))


def _rule(problem: dict[str, Any]) -> str:
    """`must be greater than or equal to 1, not 0.`"""
    rule = re.sub(r"^\w+ should ", "must ", problem["msg"]).partition(", unable to parse")[0]
    got = json.dumps(problem["input"], ensure_ascii=False, default=str)
    return f"{rule}, not {got}." if len(got) <= _SHOWN_CHARACTERS else f"{rule}."


def _known(route: Route, path: Sequence[str | int]) -> list[str]:
    annotation: Any = route.dependant.body_params[0].field_info.annotation
    for step in path:
        model = _model_in(annotation)
        if model and isinstance(step, str):
            annotation = next((f.annotation for n, f in model.model_fields.items() if (f.alias or n) == step), None)
    model = _model_in(annotation)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model in `Model`, `Model | None` or `list[Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_in(part))), None)
