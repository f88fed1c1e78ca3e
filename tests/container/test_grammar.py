"""Which JSON schemas have a text that ends."""

import time
from typing import Any

import pytest

from trainer.grammar import can_end


def record(**fields: Any) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": list(fields)}


ITSELF = {"$ref": "#"}


@pytest.mark.parametrize(
    "schema",
    [
        {},
        record(name={"type": "string"}),
        record(next={"anyOf": [ITSELF, {"type": "null"}]}),
        {"type": "object", "properties": {"next": ITSELF}},
        record(children={"type": "array", "items": ITSELF}),
        {"$ref": "#/$defs/a", "$defs": {"a": record(b={"$ref": "#/$defs/b"}), "b": {"enum": ["x", None]}}},
        {"required": 5, "properties": [], "anyOf": {}, "minItems": "x", "$ref": 3},
        {"$ref": "https://example.com/schema.json"},
    ],
)
def test_a_schema_that_may_end_somewhere_ends(schema: dict[str, Any]) -> None:
    assert can_end(schema)


@pytest.mark.parametrize(
    "schema",
    [
        ITSELF,
        record(a=ITSELF),
        {"anyOf": [ITSELF, record(a=ITSELF)]},
        {"allOf": [{"type": "object"}, ITSELF]},
        {"type": "array", "minItems": 1, "items": ITSELF},
        {"type": "array", "minItems": 1, "prefixItems": [ITSELF]},
        {"$ref": "#/$defs/a", "$defs": {"a": record(b={"$ref": "#/$defs/b"}), "b": record(a={"$ref": "#/$defs/a"})}},
    ],
)
def test_a_schema_that_must_hold_itself_has_no_end(schema: dict[str, Any]) -> None:
    assert not can_end(schema)


def test_references_that_branch_at_every_step_are_judged_at_once() -> None:
    steps = {
        f"s{number}": record(a={"$ref": f"#/$defs/s{number + 1}"}, b={"$ref": f"#/$defs/s{number + 1}"})
        for number in range(60)
    }
    for last, ends in (({"type": "null"}, True), ({"$ref": "#/$defs/s0"}, False)):
        began = time.process_time()
        assert can_end({"$ref": "#/$defs/s0", "$defs": steps | {"s60": last}}) is ends
        assert time.process_time() - began < 1
