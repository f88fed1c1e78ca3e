"""Aliases on the training_models surface."""

from typing import Any

import jsonschema
import pytest

from luthier import table
from luthier.events.entity import catalogue
from tests.factories import BASE_MODEL
from tests.functional.aliases.world import A, World
from tests.gateway import Gateway

ALIAS = "/v2/training/aliases/support"


def put(api: Gateway, body: Any, path: str = ALIAS) -> Any:
    return api.send("PUT", path, body)


@pytest.fixture
def deployed(api: Gateway) -> str:
    made = api.platform.deployed(A, api.platform.completed(suffix="v1").result_model or "")
    return made.id


def test_an_alias_shows_routes_counts_and_state(api: Gateway, deployed: str) -> None:
    model = api.platform.deployments.get(A, deployed)
    made = put(api, {"routes": [{"deploymentId": deployed, "weight": 3}], "description": "Live."})
    assert made.status == 200
    shown = made.json()
    route = {"deploymentId": deployed, "modelId": model.target, "model": model.model_name}
    assert shown["routes"] == [route | {"version": model.model_version, "weight": 1.0}]
    assert (shown["name"], shown["description"], shown["state"]) == ("support", "Live.", "stable")
    assert shown["rollback"] == {"maxErrorRate": 0.5, "minimumRequests": 20, "windowSeconds": 600}
    assert (shown["previous"], shown["counts"], shown["fault"]) == ([], [], None)
    assert api.get(ALIAS).json() == shown
    assert api.get("/v2/training/aliases").json() == {"aliases": [shown], "total": 1}


def test_a_move_is_watched_and_its_requests_are_counted(api: Gateway, deployed: str) -> None:
    api.platform.deployed(A, BASE_MODEL)
    put(api, {"routes": [{"deploymentId": deployed}]})
    rollback = {"maxErrorRate": 0.1, "minimumRequests": 5, "windowSeconds": 60}
    moved = put(api, {"routes": [{"model": BASE_MODEL}], "rollback": rollback}).json()
    assert (moved["state"], moved["rollback"]) == ("watching", rollback)
    assert [route["deploymentId"] for route in moved["previous"]] == [deployed]
    assert moved["counts"][0]["errorRate"] is None
    question = {"model": "support", "messages": [{"role": "user", "content": "Hello"}]}
    assert api.post("/v1/chat/completions", question).status == 200
    (counted,) = api.get(ALIAS).json()["counts"]
    assert (counted["requests"], counted["errors"], counted["errorRate"]) == (1, 0, 0.0)


def test_an_alias_is_a_model_in_openais_list(api: Gateway, deployed: str) -> None:
    put(api, {"routes": [{"deploymentId": deployed}]})
    [alias, model] = api.get("/v1/models").json()["data"]
    assert (alias["id"], alias["object"], alias["owned_by"]) == ("support", "model", "org_a")
    assert api.get("/v1/models/support").json() == alias
    assert model["model_id"]


def test_a_deleted_alias_is_gone(api: Gateway, deployed: str) -> None:
    put(api, {"routes": [{"deploymentId": deployed}]})
    assert api.delete(ALIAS).json() == {"name": "support", "deleted": True}
    for answer in (api.get(ALIAS), api.delete(ALIAS)):
        assert (answer.status, answer.json()["error"]) == (404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "routes"),
        ({"routes": []}, "routes"),
        ({"routes": [{"model": "m"}] * 6}, "routes"),
        ({"routes": {"model": "m"}}, "routes"),
        ({"routes": [{}]}, "routes[0]"),
        ({"routes": [{"model": "m", "deploymentId": "ep_1"}]}, "routes[0]"),
        ({"routes": [{"model": "m", "weigth": 1}]}, "routes[0].weigth"),
        ({"routes": [{"model": ""}]}, "routes[0].model"),
        ({"routes": [{"deploymentId": 4}]}, "routes[0].deploymentId"),
        ({"routes": [{"deploymentId": "model_1"}]}, "routes[0].deploymentId"),
        ({"routes": [{"model": "m", "weight": 0}]}, "routes[0].weight"),
        ({"routes": [{"model": "m", "weight": -1}]}, "routes[0].weight"),
        ({"routes": [{"model": "m", "weight": "1"}]}, "routes[0].weight"),
        ({"routes": [{"model": "m", "weight": 1e300}]}, "routes[0].weight"),
        ({"routes": [{"model": "m"}], "rollback": {"maxErrorRate": 1.5}}, "rollback.maxErrorRate"),
        ({"routes": [{"model": "m"}], "rollback": {"maxErrorRate": -0.1}}, "rollback.maxErrorRate"),
        ({"routes": [{"model": "m"}], "rollback": {"minimumRequests": 0}}, "rollback.minimumRequests"),
        ({"routes": [{"model": "m"}], "rollback": {"minimumRequests": 1.5}}, "rollback.minimumRequests"),
        ({"routes": [{"model": "m"}], "rollback": {"windowSeconds": 0}}, "rollback.windowSeconds"),
        ({"routes": [{"model": "m"}], "rollback": {"windowSeconds": 86_401}}, "rollback.windowSeconds"),
        ({"routes": [{"model": "m"}], "rollback": {"window": 1}}, "rollback.window"),
        ({"routes": [{"model": "m"}], "rollback": True}, "rollback"),
        ({"routes": [{"model": "m"}], "description": 4}, "description"),
        ({"routes": [{"model": "m"}], "description": "d" * 501}, "description"),
        ({"routes": [{"model": "m"}], "name": "n"}, "name"),
    ],
)
def test_a_wrong_field_is_named(api: Gateway, body: dict[str, Any], field: str) -> None:
    refused = put(api, body)
    assert (refused.status, refused.json()["details"]["field"]) == (400, field)
    assert refused.json()["error"] == "VALIDATION_ERROR"


@pytest.mark.parametrize("route", [{"model": "m"}, {"deploymentId": "ep_0"}])
def test_a_route_to_nothing_is_not_found(api: Gateway, route: dict[str, str]) -> None:
    refused = put(api, {"routes": [route]})
    (field,) = route
    assert (refused.status, refused.json()["details"]["resource"]) == (404, f"routes[0].{field}")


def test_a_deployment_has_one_weight(api: Gateway, deployed: str) -> None:
    refused = put(api, {"routes": [{"deploymentId": deployed}, {"deploymentId": deployed, "weight": 2}]})
    assert (refused.status, refused.json()["details"]["field"]) == (400, "routes[1]")


_TOO_LONG = f"ft:gpt-4o:{'a' * 200}::b"


@pytest.mark.parametrize(
    "name", ["-support", "ep_support", "model_1", "a b", "süß", "a:b", "a" * 65, "ft:gpt-4o", "ft::acme::x", _TOO_LONG]
)
def test_a_name_that_no_alias_may_have_is_refused(api: Gateway, deployed: str, name: str) -> None:
    refused = put(api, {"routes": [{"deploymentId": deployed}]}, f"/v2/training/aliases/{name.replace(' ', '%20')}")
    assert (refused.status, refused.json()["details"]["field"]) == (400, "name")


def test_a_name_that_something_else_has_is_a_conflict(api: Gateway, deployed: str) -> None:
    for name in (BASE_MODEL, api.platform.deployments.get(A, deployed).model_name):
        refused = put(api, {"routes": [{"deploymentId": deployed}]}, f"/v2/training/aliases/{name}")
        assert (refused.status, refused.json()["error"]) == (409, "NAME_TAKEN")


@pytest.mark.parametrize(
    "name",
    [
        "ft:gpt-4o-mini-2024-07-18:acme:support:abc123",
        "ft:gpt-4.1-2025-04-14:Acme-Inc::BxYz12:ckpt-step-100",
        f"ft:gpt-4o-mini-2024-07-18:{'a' * 64}:{'b' * 64}:abc123",
    ],
)
def test_a_model_answers_under_the_name_that_another_had_at_openai(api: Gateway, deployed: str, name: str) -> None:
    assert put(api, {"routes": [{"deploymentId": deployed}]}, f"/v2/training/aliases/{name}").json()["name"] == name
    answer = api.post("/v1/chat/completions", {"model": name, "messages": [{"role": "user", "content": "Hello"}]})
    assert (answer.status, answer.json()["model"]) == (200, name)
    assert api.get(f"/v1/models/{name}").json()["id"] == name
    assert api.delete(f"/v2/training/aliases/{name}").json()["deleted"]


@pytest.mark.parametrize("base", [BASE_MODEL, BASE_MODEL.upper()])
def test_no_alias_takes_a_name_that_a_model_of_ones_own_may_get(api: Gateway, deployed: str, base: str) -> None:
    refused = put(api, {"routes": [{"deploymentId": deployed}]}, f"/v2/training/aliases/ft:{base}:org_a:support:abc")
    assert (refused.status, refused.json()["error"]) == (409, "NAME_TAKEN")


def test_an_alias_leads_to_active_deployments_only(api: Gateway, deployed: str) -> None:
    api.platform.deployments.pause(A, deployed)
    refused = put(api, {"routes": [{"deploymentId": deployed}]})
    assert (refused.status, refused.json()["error"]) == (409, "STATE_CONFLICT")
    details = refused.json()["details"]
    assert (details["current_state"], details["required_state"]) == ("pausing", ["active"])


def test_reading_and_writing_take_different_scopes(api: Gateway, deployed: str) -> None:
    body = {"routes": [{"deploymentId": deployed}]}
    assert put(api.caller("models:read"), body).status == 403
    assert api.caller("models:read").delete(ALIAS).status == 403
    assert put(api.caller("models:write", "models:read"), body).status == 200
    assert api.caller("models:write").get("/v2/training/aliases").status == 403


def test_what_is_reported_matches_the_catalogue(world: World) -> None:
    world.put(old=1)
    world.put(new=1)
    counted = world.get()
    for _ in range(20):
        world.platform.aliases.note(counted, world.new.id, failed=True)
    found = table.query(
        world.platform.dynamodb,
        TableName="luthier",
        KeyConditionExpression="pk = :p AND begins_with(sk, :e)",
        ExpressionAttributeValues={":p": {"S": "ORG#org_a"}, ":e": {"S": "EVENT#"}},
    )
    told = [item for item in found if item["type"].startswith("alias.")]
    assert [item["type"] for item in told] == ["alias.moved", "alias.moved", "alias.rolled_back"]
    for item in told:
        jsonschema.validate(item["data"], catalogue()[item["type"]].data)
