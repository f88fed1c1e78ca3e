"""A model that carries a behaviour spec is told it before every conversation, whatever door it is asked through."""

import json
from typing import Any

import pytest

from tests.factories import principal
from tests.functional.models.world import model
from tests.gateway import Answer, Gateway, api

__all__ = ["api"]

A = principal("org_a")
SPEC = json.dumps({"system_prompt": "You sort tickets.", "constraints": ["No prices."]})
PROMPT = {"role": "system", "content": "You sort tickets.\n\nConstraints:\n- No prices."}


def patch(api: Gateway, model_id: str, metadata: dict[str, Any]) -> Answer:
    return api.send("PATCH", f"/v2/training/models/{model_id}", {"metadata": metadata})


def test_the_spec_goes_before_the_conversation_through_every_door(api: Gateway) -> None:
    made = model(api.platform)
    deployed = api.platform.deployed(A, made.id)
    assert patch(api, made.id, {"behavior_spec": SPEC}).status == 200
    doors: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {"model": made.id, "messages": [{"role": "user", "content": "hello"}]}),
        (f"/v1/models/{made.id}/inference", {"prompt": "hello"}),
        (f"/v2/{deployed.id}/runsync", {"input": {"prompt": "hello"}}),
    ]
    for path, body in doors:
        assert api.post(path, body).status == 200, path
        assert api.platform.runtime.asked[-1]["messages"] == [PROMPT, {"role": "user", "content": "hello"}]


def test_without_the_spec_the_conversation_stays_as_it_is(api: Gateway) -> None:
    made = model(api.platform)
    api.platform.deployed(A, made.id)
    patch(api, made.id, {"behavior_spec": SPEC})
    patch(api, made.id, {"team": "support"})
    api.platform.inference.complete(A, {"model": made.id, "messages": [{"role": "user", "content": "hello"}]})
    assert api.platform.runtime.asked[-1]["messages"] == [{"role": "user", "content": "hello"}]


@pytest.mark.parametrize(
    ("key", "value"),
    [("behavior_spec", "{"), ("behavior_spec", '{"guidelines": 1}'), ("behavior_spec", "x" * 16_385), ("a", "x" * 257)],
)
def test_what_is_no_spec_is_refused_by_its_key(api: Gateway, key: str, value: str) -> None:
    refused = patch(api, model(api.platform).id, {key: value})
    assert (refused.status, refused.json()["details"]["field"]) == (400, f"metadata.{key}")
