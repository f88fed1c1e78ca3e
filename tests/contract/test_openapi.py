"""The OpenAPI document follows from the routes, and says what a client needs."""

import importlib
import json
from typing import Any

import pytest

from functions.api import build_openapi
from functions.api.app import Surface
from luthier.accounts.entity import SCOPES

DOCUMENT: dict[str, Any] = json.loads(build_openapi.DOCUMENT.read_text())
SURFACES: list[Surface] = [importlib.import_module(f"functions.api.{name}").app for name in build_openapi.SURFACES]
OPERATIONS = [
    (method, path, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]

# The document itself, its page, and a link whose token is the key.
KEYLESS = ("/openapi.json", "/docs", "/v2/training/downloads/{token}")


def test_the_document_is_what_the_routes_say() -> None:
    assert build_openapi.DOCUMENT.read_text() == build_openapi.rendered(), "run `make openapi`"


def test_every_route_is_in_it() -> None:
    routes = {(route.method.lower(), route.openapi_path) for surface in SURFACES for route in surface.routes}
    assert {(method, path) for method, path, _ in OPERATIONS} == routes


def test_operation_ids_are_unique() -> None:
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(ids) == len(set(ids))


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in DOCUMENT["components"]["schemas"]


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=lambda value: str(value)[:60])
def test_an_operation_names_its_scope_its_errors_and_a_summary(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    assert operation["summary"]
    assert "default" in operation["responses"]
    if path not in KEYLESS:
        assert {scheme for entry in operation["security"] for scheme in entry} == {"bearer", "apiKey"}


def test_every_route_declares_who_may_call_it() -> None:
    for surface in SURFACES:
        for route in surface.routes:
            assert route.security is not None, route.path


def test_every_scope_opens_a_route_and_every_route_asks_for_one() -> None:
    routes = [route for surface in SURFACES for route in surface.routes if route.security]
    asked = {
        scope for route in routes for entry in route.security or [] for scopes in entry.values() for scope in scopes
    }
    assert asked == set(SCOPES)


def test_limits_are_stated() -> None:
    parameters = DOCUMENT["paths"]["/api/v1/fine-tuning/jobs"]["get"]["parameters"]
    (limit,) = (parameter["schema"] for parameter in parameters if parameter["name"] == "limit")
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, 100, 20)
