"""Every operation of openapi.json has an example, which the API really answers like that, and which fits its schema."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from functions.api.build_openapi import EXAMPLES
from tests.contract.test_openapi import DOCUMENT, OPERATIONS
from tests.examples.recording import Scenario, recorded
from tests.examples.scenarios import SCENARIOS

GROUPS: dict[str, dict[str, Any]] = json.loads(EXAMPLES.read_text())
# The document, and the page that shows it, are examples of themselves.
SHOWN = [
    pytest.param(operation, id=operation["operationId"])
    for _, path, operation in OPERATIONS
    if path not in ("/openapi.json", "/docs")
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_an_example_is_what_the_api_answers(scenario: Scenario) -> None:
    told, kept = recorded(scenario), GROUPS[scenario.__name__]
    assert {name: told.get(name) for name in kept} == kept, "run `make examples`"
    assert told.keys() <= {name for group in GROUPS.values() for name in group}, "run `make examples`"


@pytest.mark.parametrize("operation", SHOWN)
def test_an_operation_shows_what_is_sent_and_every_answer(operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        assert "example" in parameter or parameter["in"] != "path", parameter["name"]
    for place, content in contents(operation):
        assert "example" in content, place


@pytest.mark.parametrize("operation", SHOWN)
def test_an_example_fits_its_schema(operation: dict[str, Any]) -> None:
    shown = [*contents(operation), *((row["name"], row) for row in operation.get("parameters", []) if "example" in row)]
    for place, content in shown:
        schema = content.get("schema", {}) | {"components": DOCUMENT["components"]}
        faults = list(jsonschema.Draft202012Validator(schema).iter_errors(content["example"]))
        assert faults == [], place


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Everything that an operation takes and answers, but for errors."""
    yield from operation.get("requestBody", {}).get("content", {}).items()
    for status, answer in operation["responses"].items():
        if status != "default":
            yield from ((f"{status} {media}", content) for media, content in answer.get("content", {}).items())
