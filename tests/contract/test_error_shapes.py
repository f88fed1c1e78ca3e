"""Every family of errors in the shape of every surface, and every surface's own refusals in its shape."""

from typing import Any

import pytest

from functions.api import error_shapes
from functions.api.app import MethodNotAllowed
from functions.api.build_openapi import ERRORS, SURFACES
from functions.api.validation import UnsupportedMediaType
from luthier import errors
from luthier.errors import LuthierError
from tests.gateway import Gateway

SHAPES = {
    "fine_tuning": error_shapes.fine_tuning,
    "openai": error_shapes.openai,
    "openai_fine_tuning": error_shapes.openai,
    "completions": error_shapes.openai,
    "account": error_shapes.openai,
    "training_models": error_shapes.training_models,
    "endpoints": error_shapes.endpoints,
    "playground": error_shapes.playground,
    "tuning": error_shapes.tuning,
    "webhooks": error_shapes.tuning,
}
FAMILIES = [
    family
    for family in (*vars(errors).values(), MethodNotAllowed, UnsupportedMediaType)
    if isinstance(family, type) and issubclass(family, LuthierError)
]


def assert_matches(schema: dict[str, Any], value: Any, place: str = "$") -> None:
    kinds = {"string": str, "object": dict, "integer": int, "null": type(None)}
    allowed = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    assert isinstance(value, tuple(kinds[kind] for kind in allowed)), place
    if "properties" in schema:
        assert isinstance(value, dict), place
        assert set(value) == set(schema["properties"]), place
        for name, inner in schema["properties"].items():
            assert_matches(inner, value[name], f"{place}.{name}")


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
@pytest.mark.parametrize("details", [None, {"current": "running"}, [{"line": 3}]], ids=["none", "object", "list"])
def test_every_family_has_the_documented_shape_on_every_surface(
    surface: str, family: type[LuthierError], details: Any
) -> None:
    error = family("Message.", param="field", remedy="Remedy.", details=details)
    body = SHAPES[surface](error, "req_1", "2026-01-01T00:00:00Z")
    assert_matches(ERRORS[surface], body)
    assert "Message. Remedy." in str(body)


def test_every_family_has_a_status_of_its_own() -> None:
    statuses = [family.status for family in FAMILIES if family is not LuthierError]
    assert sorted(set(statuses)) == [400, 401, 402, 403, 404, 405, 409, 413, 415, 422, 429, 500, 501, 503]


@pytest.mark.parametrize(
    ("surface", "method", "path"),
    [
        ("fine_tuning", "POST", "/api/v1/fine-tuning/jobs"),
        ("completions", "POST", "/v1/chat/completions"),
        ("completions", "POST", "/v1/completions"),
        ("openai", "POST", "/v1/files/presigned"),
        ("openai_fine_tuning", "POST", "/v1/fine_tuning/jobs"),
        ("openai", "POST", "/v1/webhook_endpoints"),
        ("webhooks", "POST", "/v1/webhooks"),
        ("training_models", "POST", "/v2/training/models/org/name/deploy"),
        ("account", "POST", "/v1/organization/api_keys"),
        ("tuning", "POST", "/v1/fine-tune"),
        ("playground", "POST", "/api/v1/playground/completions"),
        ("endpoints", "POST", "/v2/endpoints/ep_1/runsync"),
    ],
)
def test_every_refusal_of_a_surface_has_its_shape(api: Gateway, surface: str, method: str, path: str) -> None:
    poor = api.caller("models:read")
    refusals = {
        401: api.stranger().send(method, path, {}),
        403: poor.send(method, path, {}),
        400: api.send(method, path, {"nonsense": 1}),
        413: api.send(method, path, "x" * 5_000_000),
        415: api.send(method, path, "a=1", headers={"Content-Type": "text/plain"}),
        405: api.send("PATCH", path, {}),
        404: api.send(method, path + "/no/such"),
    }
    for status, refused in refusals.items():
        assert refused.status == status, refused.text
        assert_matches(ERRORS[surface], refused.json())
        assert refused.headers["content-type"] == "application/json"


def test_the_training_models_surface_uses_the_codes_of_its_documentation() -> None:
    def code(error: LuthierError) -> tuple[str, dict[str, Any]]:
        body = error_shapes.training_models(error, "req_1", "")
        return body["error"], body["details"]

    assert code(errors.InvalidRequest("m", code="unknown_field", param="gpu")) == (
        "VALIDATION_ERROR",
        {"field": "gpu", "reason": "unknown_field"},
    )
    assert code(errors.NotFound("m", code="model_not_found"))[0] == "MODEL_NOT_FOUND"
    assert code(errors.NotFound("m"))[0] == "RESOURCE_NOT_FOUND"
    assert code(errors.Conflict("m", details={"current": "a", "required": "b"})) == (
        "STATE_CONFLICT",
        {"current_state": "a", "required_state": "b"},
    )
    assert code(errors.Forbidden("m", details={"required": "s", "present": []})) == (
        "FORBIDDEN",
        {"required_permission": "s", "current_permissions": []},
    )
    assert code(errors.RateLimited("m"))[0] == "RATE_LIMIT_EXCEEDED"
