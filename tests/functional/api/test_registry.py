"""The routes of the model registry: scopes, spellings of names, and bad input of every field."""

from typing import Any
from urllib.parse import quote

import pytest

from luthier.models.entity import Model
from tests.gateway import Answer, Gateway

MODELS = "/v2/training/models"
VERSION = {"version": "v1.1.0", "trainingJobId": "ftjob_1"}


@pytest.fixture
def model(api: Gateway) -> Model:
    found = api.platform.models.of_job(api.platform.completed())
    assert found is not None
    return found


def assert_names(refused: Answer, status: int, code: str, field: str | None, place: str = "field") -> None:
    told = refused.json()
    assert (refused.status, told["error"], told["code"]) == (status, code, status), told
    assert told["details"].get(place) == field, told
    assert place not in ("field", "resource") or not field or field.split("[")[0] in told["message"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("type=gpt", "type"), ("status=running", "status"), ("sort=id", "sort"), ("sort=createdAt", "sort"),
        ("order=up", "order"), ("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"),
        ("offset=-1", "offset"), ("offset=1000000001", "offset"), ("page=2", "page"), ("Status=ready", "Status"),
        (f"baseModel={'x' * 241}", "baseModel"), (f"trainingJobId={'x' * 241}", "trainingJobId"),
    ],
)  # fmt: skip
def test_a_wrong_query_of_the_list_is_named(api: Gateway, query: str, field: str) -> None:
    assert_names(api.get(f"{MODELS}?{query}"), 400, "VALIDATION_ERROR", field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"), ({"name": "a b"}, "name"), ({"name": "model_1"}, "name"), ({"name": 4}, "name"),
        ({"name": None}, "name"), ({"name": "x" * 201}, "name"), ({"description": "x" * 2_001}, "description"),
        ({"description": 4}, "description"), ({"description": "a\0b"}, "description"), ({"tags": ["a\n"]}, "tags[0]"),
        ({"tags": "a"}, "tags"), ({"tags": None}, "tags"),
        ({"tags": [""]}, "tags[0]"), ({"tags": ["a", "x" * 65]}, "tags[1]"), ({"tags": [4]}, "tags[0]"),
        ({"tags": ["a"] * 51}, "tags"), ({"metadata": []}, "metadata"), ({"metadata": None}, "metadata"),
        ({"metadata": {"k": 4}}, "metadata.k"), ({"metadata": {"k": None}}, "metadata.k"),
        ({"metadata": {"k": "x" * 257}}, "metadata.k"), ({"metadata": {str(k): "v" for k in range(33)}}, "metadata"),
        ({"status": "ready"}, "status"), ({"version": "v2.0.0"}, "version"), ({"baseModel": "x"}, "baseModel"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_change_is_named(api: Gateway, model: Model, body: dict[str, Any], field: str) -> None:
    assert_names(api.send("PATCH", f"{MODELS}/{model.id}", body), 400, "VALIDATION_ERROR", field)
    assert api.platform.models.of_job(api.platform.fresh_by_id(model.job_id)) == model


@pytest.mark.parametrize("key", ["", "k" * 65])
def test_a_wrong_key_of_the_metadata_is_refused(api: Gateway, model: Model, key: str) -> None:
    refused = api.send("PATCH", f"{MODELS}/{model.id}", {"metadata": {key: "v"}})
    assert (refused.status, refused.json()["details"]["field"].split(".")[0]) == (400, "metadata")


@pytest.mark.parametrize("body", [None, "", "[]", "{"])
def test_a_change_needs_an_object(api: Gateway, model: Model, body: Any) -> None:
    headers = {"Content-Type": "application/json"}
    assert api.send("PATCH", f"{MODELS}/{model.id}", body, headers=headers).status == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"version": ""}, "version"), ({"version": "1.2"}, "version"), ({"version": "v1.2.0+b"}, "version"),
        ({"version": "1.2.3-" + "x" * 64}, "version"), ({"version": 1}, "version"), ({"version": None}, "version"),
        ({"trainingJobId": ""}, "trainingJobId"), ({"trainingJobId": 4}, "trainingJobId"),
        ({"trainingJobId": "x" * 241}, "trainingJobId"), ({"description": "x" * 2_001}, "description"),
        ({"changelog": "a"}, "changelog"), ({"changelog": [""]}, "changelog[0]"), ({"changelog": None}, "changelog"),
        ({"changelog": ["x" * 301]}, "changelog[0]"), ({"changelog": ["a"] * 51}, "changelog"),
        ({"training_job_id": "x"}, "training_job_id"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_a_version_is_named(api: Gateway, model: Model, body: dict[str, Any], field: str) -> None:
    refused = api.post(f"{MODELS}/{model.id}/versions", VERSION | body)
    assert_names(refused, 400, "VALIDATION_ERROR", field)


@pytest.mark.parametrize("field", VERSION)
def test_a_version_needs_its_number_and_its_job(api: Gateway, model: Model, field: str) -> None:
    body = {name: value for name, value in VERSION.items() if name != field}
    assert_names(api.post(f"{MODELS}/{model.id}/versions", body), 400, "VALIDATION_ERROR", field)


def test_what_stands_against_a_version_is_told(api: Gateway, model: Model) -> None:
    path = f"{MODELS}/{model.id}/versions"
    assert_names(api.post(path, VERSION), 404, "RESOURCE_NOT_FOUND", "trainingJobId", "resource")
    queued = api.platform.job()
    refused = api.post(path, VERSION | {"trainingJobId": queued.id})
    assert_names(refused, 409, "STATE_CONFLICT", "queued", "current_state")
    done = api.platform.completed().id
    assert_names(
        api.post(path, {"version": "1.0.0", "trainingJobId": done}), 409, "VERSION_EXISTS", "v1.0.0", "version"
    )
    large = api.platform.completed(base_model="llama-3.1-8b").id
    refused = api.post(path, VERSION | {"trainingJobId": large})
    assert_names(refused, 422, "SEMANTIC_ERROR", "llama-3.1-8b", "jobBaseModel")
    assert_names(api.get(f"{path}/v9.0.0"), 404, "RESOURCE_NOT_FOUND", "version", "resource")
    assert_names(api.get(f"{path}/latest"), 400, "VALIDATION_ERROR", "version")


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "offset=-1", "sort=version"])
def test_a_wrong_query_of_the_versions_is_named(api: Gateway, model: Model, query: str) -> None:
    assert_names(api.get(f"{MODELS}/{model.id}/versions?{query}"), 400, "VALIDATION_ERROR", query.split("=")[0])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": "x" * 1_001}, "reason"), ({"reason": 4}, "reason"), ({"retention_period": "1"}, "retention_period"),
        ({"retention_period": 90}, "retention_period"), ({"retention_period": "0d"}, "retention_period"),
        ({"retention_period": "3651d"}, "retention_period"), ({"retention_period": "d" * 21}, "retention_period"),
        ({"retentionPeriod": "90d"}, "retentionPeriod"),
    ],
)  # fmt: skip
def test_a_wrong_field_of_an_archiving_is_named(api: Gateway, model: Model, body: dict[str, Any], field: str) -> None:
    assert_names(api.post(f"{MODELS}/{model.id}/archive", body), 400, "VALIDATION_ERROR", field)
    assert api.get(f"{MODELS}/{model.id}").json()["status"] == "ready"


def test_a_model_is_archived_without_a_body(api: Gateway, model: Model) -> None:
    shown = api.post(f"{MODELS}/{model.id}/archive").json()["archived"]
    assert (shown["reason"], shown["retentionPeriod"]) == (None, "90d")
    again = api.post(f"{MODELS}/{model.id}/archive")
    assert_names(again, 409, "STATE_CONFLICT", "archived", "current_state")
    assert again.json()["details"]["required_state"] == ["ready"]


def test_a_taken_name_is_told(api: Gateway, model: Model) -> None:
    other = api.platform.models.of_job(api.platform.completed())
    assert other is not None
    refused = api.send("PATCH", f"{MODELS}/{model.id}", {"name": other.name})
    assert_names(refused, 409, "NAME_TAKEN", "name")


def test_a_deployed_model_is_neither_archived_nor_deleted_and_shows_its_deployment(api: Gateway, model: Model) -> None:
    started = api.post(f"{MODELS}/{model.id}/deploy", {"name": "chat"}).json()["deployment"]
    for refused in (api.post(f"{MODELS}/{model.id}/archive"), api.delete(f"{MODELS}/{model.id}")):
        assert_names(refused, 409, "STATE_CONFLICT", "deploying", "current_state")
    (shown,) = api.get(f"{MODELS}/{model.id}").json()["deployments"]
    assert (shown["id"], shown["name"], shown["url"]) == (started["id"], "chat", started["url"])
    assert api.get(f"{MODELS}?status=deployed").json()["total"] == 0
    api.platform.run_deployment(api.platform.deployment_store.get("org_a", started["id"]))
    (listed,) = api.get(f"{MODELS}?status=deployed").json()["models"]
    assert listed["deployments"] == {"active": 1, "endpoints": [started["id"]]}


def test_an_archived_model_is_not_deployed(api: Gateway, model: Model) -> None:
    api.post(f"{MODELS}/{model.id}/archive")
    refused = api.post(f"{MODELS}/{model.id}/deploy")
    assert_names(refused, 409, "STATE_CONFLICT", "archived", "current_state")


def test_a_deleted_model_is_gone(api: Gateway, model: Model) -> None:
    assert api.delete(f"{MODELS}/{model.id}").json() == {"id": model.id, "modelId": model.id, "deleted": True}
    assert api.get(f"{MODELS}/{model.id}").status == api.delete(f"{MODELS}/{model.id}").status == 404
    assert api.get(MODELS).json()["models"] == []


def test_every_name_of_a_model_leads_to_it_however_it_is_encoded(api: Gateway, model: Model) -> None:
    shown = api.get(f"{MODELS}/{model.id}").json()
    assert any("/" in name for name in model.names)
    for name in model.names:
        for spelled in (name, quote(name, safe=""), quote(name)):
            assert api.get(f"{MODELS}/{spelled}").json() == shown
            assert api.get(f"{MODELS}/{spelled}/versions").json()["total"] == 1
            assert api.get(f"{MODELS}/{spelled}/versions/v1.0.0").json() == shown


def test_a_model_to_be_is_shown_as_what_is_known_of_its_job(api: Gateway) -> None:
    job = api.platform.launched(description="soon")
    (listed,) = api.get(f"{MODELS}?status=training").json()["models"]
    shown = api.get(f"{MODELS}/{listed['id']}").json()
    assert {key: shown[key] for key in listed if key not in ("size", "metrics", "deployments")} == {
        key: listed[key] for key in listed if key not in ("size", "metrics", "deployments")
    }
    assert (shown["status"], shown["trainingJobId"], shown["description"]) == ("training", job.id, "soon")
    assert (shown["size"]["bytes"], shown["files"], shown["completedAt"]) == (None, [], None)
    failed = api.platform.failed()
    reason = api.get(f"{MODELS}/model_{failed.id.partition('_')[2]}").json()["statusReason"]
    assert reason["code"] == "oom"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "", {"description": "x"}),
        ("DELETE", "", None),
        ("POST", "/deploy", {}),
        ("GET", "/deployments", None),
        ("POST", "/download", {"format": "adapter"}),
        ("POST", "/evaluate", {"benchmarks": ["mmlu"]}),
        ("GET", "/versions", None),
        ("POST", "/versions", {"version": "v2.0.0", "trainingJobId": "ftjob_x"}),
        ("POST", "/archive", {}),
        ("POST", "/restore", None),
    ],
)
def test_a_model_to_be_says_that_it_is_not_there_yet(api: Gateway, method: str, path: str, body: Any) -> None:
    job = api.platform.launched()
    to_be = f"model_{job.id.partition('_')[2]}"
    refused = api.send(method, f"{MODELS}/{to_be}{path}", body)
    assert (refused.status, refused.json()["error"]) == (409, "STATE_CONFLICT"), refused.text
    assert refused.json()["details"]["current_state"] == "training"
    assert job.id in refused.text
    theirs = api.caller("admin", organization_id="org_b").send(method, f"{MODELS}/{to_be}{path}", body)
    assert theirs.status == 404


def test_reading_and_writing_need_their_scopes(api: Gateway, model: Model) -> None:
    reader, writer = api.caller("models:read"), api.caller("models:write")
    path = f"{MODELS}/{model.id}"
    for rest in ("", "/versions", "/versions/v1.0.0"):
        assert (reader.get(path + rest).status, writer.get(path + rest).status) == (200, 403)
    for method, rest, body in (
        ("PATCH", "", {"tags": []}), ("POST", "/versions", VERSION), ("POST", "/archive", {}),
        ("POST", "/restore", None), ("DELETE", "", None),
    ):  # fmt: skip
        assert reader.send(method, path + rest, body).status == 403
        assert writer.send(method, path + rest, body).status != 403
