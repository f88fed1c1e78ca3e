"""Deployments on the training_models surface: every route, and bad input of every field."""

from typing import Any

import pytest

from tests.factories import BASE_MODEL, principal
from tests.gateway import Gateway

ROOT = "/v2/training/deployments"


def started(api: Gateway, body: Any = None, model: str = BASE_MODEL) -> dict[str, Any]:
    return api.post(f"/v2/training/models/{model}/deploy", body).json()["deployment"]


def run(api: Gateway, deployment_id: str) -> None:
    api.platform.run_deployment(api.platform.deployments.get(principal(), deployment_id))


def active(api: Gateway, body: Any = None) -> str:
    made = started(api, body)["id"]
    run(api, made)
    return made


def test_one_deployment_with_everything_that_is_known_of_it(api: Gateway) -> None:
    made = active(api)
    shown = api.get(f"{ROOT}/{made}").json()
    host = shown.pop("host")
    assert (host["tenants"], host["hardware"]) == (1, "gpu-l4-24gb")
    times = {key: shown.pop(key) for key in ("estimatedReadyTime", "readyAt", "createdAt", "updatedAt")}
    assert all(times.values())
    assert shown == {
        "id": made,
        "modelId": BASE_MODEL,
        "name": BASE_MODEL,
        "status": "active",
        "environment": "production",
        "url": f"https://api.example.test/v2/{made}/runsync",
        "configuration": {
            "gpuType": "NVIDIA L4",
            "workers": 1,
            "maxTokens": None,
            "temperature": None,
            "topP": None,
            "repetitionPenalty": None,
        },
        "version": None,
        "kind": "shared",
        "costPerHour": 1.222,
        "scaling": None,
        "updating": False,
        "proof": {"prompts": 1},
        "error": None,
    }


def test_a_dedicated_one_costs_by_its_workers(api: Gateway) -> None:
    shown = started(api, {"workers": 3, "gpuType": "l4"})
    assert (shown["kind"], shown["costPerHour"]) == ("dedicated", 3.666)
    assert api.get(f"{ROOT}/{shown['id']}").json()["host"] is None


def test_the_list_is_filtered_and_paged(api: Gateway) -> None:
    name = api.platform.completed().result_model
    ids = [started(api, {"name": f"d{n}", "environment": "staging"}, name)["id"] for n in range(3)]
    ids.append(active(api))
    everything = api.get(ROOT).json()
    assert sorted(one["id"] for one in everything["deployments"]) == sorted(ids)
    assert everything["pagination"] == {"total": 4, "limit": 50, "offset": 0, "hasMore": False}
    assert everything["total"] == 4
    page = api.get(f"{ROOT}?limit=2&offset=1").json()
    assert page["pagination"] == {"total": 4, "limit": 2, "offset": 1, "hasMore": True}
    assert page["deployments"] == everything["deployments"][1:3]
    for query, count in (("status=active", 1), ("environment=staging", 3), (f"model={name}", 3), ("status=paused", 0)):
        assert api.get(f"{ROOT}?{query}").json()["total"] == count
    assert api.get(f"{ROOT}?environment=staging&status=active").json()["total"] == 0
    assert api.get(f"/v2/training/models/{name}/deployments").json()["total"] == 3
    assert api.get(f"/v2/training/models/{BASE_MODEL}/deployments?limit=1").json()["total"] == 1


def test_a_base_model_with_a_slash_in_its_id_has_deployments(api: Gateway) -> None:
    assert api.get("/v2/training/models/Qwen/Qwen3.5-2B/deployments").json()["total"] == 0


def test_pause_resume_change_and_delete(api: Gateway) -> None:
    made = active(api, {"workers": 2})
    changed = api.send("PATCH", f"{ROOT}/{made}", {"workers": 1, "configuration": {"max_tokens": 9}}).json()
    assert (changed["updating"], changed["configuration"]["workers"], changed["configuration"]["maxTokens"]) == (
        True,
        1,
        9,
    )
    refused = api.send("PATCH", f"{ROOT}/{made}", {"workers": 3})
    assert (refused.status, refused.json()["details"]["current_state"]) == (409, "updating")
    run(api, made)
    cleared = api.send("PATCH", f"{ROOT}/{made}", {"configuration": {"max_tokens": None}}).json()
    assert cleared["configuration"]["maxTokens"] is None
    assert api.post(f"{ROOT}/{made}/pause").json()["status"] == "pausing"
    run(api, made)
    assert api.post(f"{ROOT}/{made}/resume").json()["status"] == "deploying"
    refused = api.post(f"{ROOT}/{made}/pause")
    assert (refused.status, refused.json()["error"]) == (409, "STATE_CONFLICT")
    assert refused.json()["details"] == {"current_state": "deploying", "required_state": ["active"]}
    assert api.delete(f"{ROOT}/{made}").json()["status"] == "deleting"
    run(api, made)
    assert api.delete(f"{ROOT}/{made}").status == 404


def test_min_workers_zero_comes_back_as_it_was_asked(api: Gateway) -> None:
    shown = started(api, {"scaling": {"minWorkers": 0, "maxWorkers": 2}})
    assert shown["scaling"] == {"minWorkers": 0, "maxWorkers": 2, "targetUtilization": 0.7}
    run(api, shown["id"])
    fixed = api.send("PATCH", f"{ROOT}/{shown['id']}", {"scaling": None}).json()
    assert (fixed["scaling"], fixed["updating"]) == (None, True)


BAD = [
    ({"name": ""}, "name"),
    ({"name": "x" * 241}, "name"),
    ({"environment": ""}, "environment"),
    ({"environment": "x" * 101}, "environment"),
    ({"environment": None}, "environment"),
    ({"kind": "own"}, "kind"),
    ({"gpuType": ""}, "gpuType"),
    ({"gpuType": 7}, "gpuType"),
    ({"workers": 0}, "workers"),
    ({"workers": 21}, "workers"),
    ({"workers": "3"}, "workers"),
    ({"workers": 2, "kind": "shared"}, "workers"),
    ({"scaling": {}, "kind": "shared"}, "scaling"),
    ({"scaling": {"minWorkers": -1}}, "scaling.minWorkers"),
    ({"scaling": {"minWorkers": 21}}, "scaling.minWorkers"),
    ({"scaling": {"minWorkers": 3, "maxWorkers": 2}}, "scaling.minWorkers"),
    ({"scaling": {"maxWorkers": 0}}, "scaling.maxWorkers"),
    ({"scaling": {"maxWorkers": 21}}, "scaling.maxWorkers"),
    ({"scaling": {"targetUtilization": 0}}, "scaling.targetUtilization"),
    ({"scaling": {"targetUtilization": 1.1}}, "scaling.targetUtilization"),
    ({"scaling": {"target_utilization": 0.5}}, "scaling.target_utilization"),
    ({"workers": 5, "scaling": {"maxWorkers": 3}}, "workers"),
    ({"workers": 1, "scaling": {"minWorkers": 2}}, "workers"),
    ({"configuration": {"max_tokens": 0}}, "configuration.max_tokens"),
    ({"name": "a\nb"}, "name"),
    ({"environment": "prod\x00"}, "environment"),
    ({"configuration": {"max_tokens": 10**40}}, "configuration.max_tokens"),
    ({"configuration": {"repetition_penalty": 1e-300}}, "configuration.repetition_penalty"),
    ({"kind": "dedicated", "scaling": {"targetUtilization": 1e-300}}, "scaling.targetUtilization"),
    ({"configuration": {"temperature": 2.1}}, "configuration.temperature"),
    ({"configuration": {"top_p": -0.1}}, "configuration.top_p"),
    ({"configuration": {"repetition_penalty": 0}}, "configuration.repetition_penalty"),
    ({"configuration": {"maxTokens": 5}}, "configuration.maxTokens"),
    ({"replicas": 5}, "replicas"),
]


@pytest.mark.parametrize(("body", "field"), BAD)
def test_each_bad_field_of_deploying_is_named(api: Gateway, body: Any, field: str) -> None:
    refused = api.post(f"/v2/training/models/{BASE_MODEL}/deploy", body)
    assert (refused.status, refused.json()["error"]) == (400, "VALIDATION_ERROR")
    assert refused.json()["details"]["field"] == field
    assert api.platform.deployments.list(principal()) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [(body, field) for body, field in BAD if not {"name", "environment", "kind", "gpuType"} & set(body)]
    + [({"name": "x"}, "name")],
)
def test_each_bad_field_of_a_change_is_named(api: Gateway, body: Any, field: str) -> None:
    made = active(api, {"kind": "dedicated"})
    refused = api.send("PATCH", f"{ROOT}/{made}", body)
    assert (refused.status, refused.json()["error"]) == (400, "VALIDATION_ERROR")
    assert refused.json()["details"]["field"] == field


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=deployed", "status"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("offset=-1", "offset"),
        ("env=x", "env"),
        (f"environment={'x' * 241}", "environment"),
    ],
)
def test_each_bad_parameter_of_the_list_is_named(api: Gateway, query: str, field: str) -> None:
    refused = api.get(f"{ROOT}?{query}")
    assert (refused.status, refused.json()["details"]["field"]) == (400, field)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PATCH", "", {"workers": 1}),
        ("DELETE", "", None),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
    ],
)
def test_a_deployment_of_another_organization_does_not_exist(api: Gateway, method: str, path: str, body: Any) -> None:
    made = active(api)
    other = api.caller("admin", organization_id="org_b")
    for caller, deployment_id in ((other, made), (api, "ep_nothing")):
        refused = caller.send(method, f"{ROOT}/{deployment_id}{path}", body)
        assert (refused.status, refused.json()["error"]) == (404, "RESOURCE_NOT_FOUND")


def test_reading_needs_models_read_and_changing_models_write(api: Gateway) -> None:
    made = active(api)
    reader = api.caller("models:read")
    assert reader.get(f"{ROOT}/{made}").status == 200
    for method, path in (("POST", "/pause"), ("DELETE", ""), ("PATCH", "")):
        assert reader.send(method, f"{ROOT}/{made}{path}", {} if method == "PATCH" else None).status == 403
