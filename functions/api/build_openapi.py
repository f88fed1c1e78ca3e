"""Writes functions/api/openapi.json from the routes of all surfaces: `python -m functions.api.build_openapi`."""

import importlib
import json
from pathlib import Path
from typing import Any

from functions.api.app import Surface

DOCUMENT = Path(__file__).with_name("openapi.json")
# Scenario → operation → what was asked and answered: recorded by `make examples`, and executed by a contract test.
EXAMPLES = Path(__file__).with_name("examples.json")
SURFACES = (
    *("fine_tuning", "openai", "openai_fine_tuning", "completions", "training_models", "endpoints", "tuning"),
    *("playground", "webhooks", "account"),
)
INFO = {
    "title": "Luthier",
    "version": "1",
    "description": "Fine-tuning on infrastructure that you own. Every surface takes the key in either header, answers "
    "with `x-request-id`, and refuses fields and parameters that it does not know.",
}
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_TEXT = {"type": "string"}
_OPTIONAL_TEXT = {"type": ["string", "null"]}
_DETAILS = {"type": ["object", "null"]}
_OPENAI_ERROR = {"message": _TEXT, "type": _TEXT, "param": _OPTIONAL_TEXT, "code": _OPTIONAL_TEXT}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_TRAINING_ERROR = _object(
    {"error": _TEXT, "message": _TEXT, "details": {"type": "object"}, "code": {"type": "integer"}}
    | {"request_id": _TEXT, "timestamp": {"type": "string", "format": "date-time"}}
)
ERRORS = {
    "fine_tuning": _object({"error": _object({"code": _TEXT, "message": _TEXT, "details": _DETAILS})}),
    "tuning": _object({"error": _object({"message": _TEXT, "code": _TEXT, "details": _DETAILS})}),
    "webhooks": _object({"error": _object({"message": _TEXT, "code": _TEXT, "details": _DETAILS})}),
    "playground": _object({"error": _object({"code": _TEXT, "message": _TEXT})}),
    "openai": _object({"error": _object(_OPENAI_ERROR)}),
    "openai_fine_tuning": _object({"error": _object(_OPENAI_ERROR)}),
    "completions": _object({"error": _object(_OPENAI_ERROR)}),
    "account": _object({"error": _object(_OPENAI_ERROR)}),
    "training_models": _TRAINING_ERROR,
    "endpoints": _TRAINING_ERROR,
}


def build() -> dict[str, Any]:
    """The whole document, the same for the same routes."""
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": INFO,
        "servers": [{"url": "/"}],
        "paths": {},
        "components": {"schemas": {}, "securitySchemes": SECURITY_SCHEMES},
    }
    examples = {name: example for group in json.loads(EXAMPLES.read_text()).values() for name, example in group.items()}
    for name in SURFACES:
        described = _describe(importlib.import_module(f"functions.api.{name}").app, examples)
        document["paths"] |= described["paths"]
        _merge(document["components"]["schemas"], described["components"]["schemas"])
    return document


def _describe(surface: Surface, examples: dict[str, Any]) -> dict[str, Any]:
    text = surface.get_openapi_json_schema(security_schemes=SECURITY_SCHEMES)  # type: ignore[arg-type]
    described = json.loads(text)
    schemas = described["components"].setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError", "ResponseValidationError"):
        schemas.pop(unused, None)
    error = f"{surface.name.title().replace('_', '')}Error"
    schemas[error] = ERRORS[surface.name]
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{error}"}}}
    for route in surface.routes:
        operation = described["paths"][route.openapi_path][route.method.lower()]
        operation |= {"operationId": route.func.__name__, "tags": [surface.name]}
        operation["responses"].get("204", {}).pop("content", None)
        if example := examples.get(operation["operationId"]):
            _exemplify(operation, example)
        operation["responses"]["default"] = {"description": "Error", "content": content}
    return described


def _exemplify(operation: dict[str, Any], example: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        if parameter["name"] in example["parameters"]:
            parameter["example"] = example["parameters"][parameter["name"]]
    places = [(operation.get("requestBody", {}), example["request"])]
    places += [(answer, example["responses"].get(status, {})) for status, answer in operation["responses"].items()]
    for place, bodies in places:
        for media, content in place.get("content", {}).items():
            if media in bodies:
                content["example"] = bodies[media]


def _merge(schemas: dict[str, Any], more: dict[str, Any]) -> None:
    for name, schema in more.items():
        if schemas.setdefault(name, schema) != schema:
            raise ValueError(f"Two surfaces mean different things by the schema {name}; rename one of the models.")


def rendered() -> str:
    return json.dumps(build(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(rendered())
