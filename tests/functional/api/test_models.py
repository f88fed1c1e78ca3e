"""Models, deployments and chat: the openai and the training_models surfaces."""

import json
from typing import Any
from urllib.parse import quote

import pytest

from luthier.errors import Conflict
from tests.factories import BASE_MODEL, principal
from tests.fakes import RuntimeExceptions
from tests.gateway import Gateway

CHAT = "/v1/chat/completions"


def question(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}]} | more


def deployed(api: Gateway) -> str:
    name = api.platform.completed(suffix="v1").result_model or ""
    api.platform.deployed(principal(), name)
    return name


def test_models_are_listed_and_found_by_every_name_however_it_is_encoded(api: Gateway) -> None:
    job = api.platform.completed(suffix="v1")
    (listed,) = api.get("/v1/models").json()["data"]
    assert (listed["id"], listed["object"], listed["job_id"]) == (job.result_model, "model", job.id)
    assert any("/" in name for name in listed["names"])
    for name in (*listed["names"], listed["model_id"]):
        for spelled in (name, quote(name, safe=""), quote(name)):
            assert api.get(f"/v1/models/{spelled}").json() == listed


def test_a_base_model_is_listed_and_found_once_it_is_deployed(api: Gateway) -> None:
    assert api.get(f"/v1/models/{BASE_MODEL}").status == 404
    api.platform.deployed(principal(), BASE_MODEL)
    [listed] = api.get("/v1/models").json()["data"]
    assert (listed["id"], listed["object"], listed["owned_by"]) == (BASE_MODEL, "model", "luthier")
    assert api.get(f"/v1/models/{BASE_MODEL}").json() == listed
    refused = api.delete(f"/v1/models/{BASE_MODEL}")
    assert (refused.status, "/v2/training/deployments/ep_" in refused.text) == (409, True)


def test_an_unknown_model_with_slashes_is_a_404_that_shows_its_name(api: Gateway) -> None:
    refused = api.get("/v1/models/org/none%2Fsuch")
    assert (refused.status, refused.json()["error"]["code"]) == (404, "model_not_found")
    assert "'org/none/such'" in refused.json()["error"]["message"]


def test_a_deployed_model_answers_a_chat(api: Gateway) -> None:
    name = deployed(api)
    answer = api.post(CHAT, question(name, temperature=0, store=True, user="u", stream=False)).json()
    assert (answer["object"], answer["model"]) == ("chat.completion", name)
    assert answer["choices"][0]["message"]["content"] == "Hello"
    asked = api.platform.runtime.asked[-1]
    assert asked["temperature"] == 0
    assert {"store", "user"} & set(asked) == set()


def test_headers_tell_which_deployment_and_version_have_answered(api: Gateway) -> None:
    made = api.platform.deployed(principal(), api.platform.completed(suffix="v1").result_model or "")
    answer = api.post(CHAT, question(made.model_name))
    assert answer.headers["x-luthier-deployment"] == made.id
    assert answer.headers["x-luthier-model-version"] == made.model_version
    api.platform.deployed(principal(), BASE_MODEL)
    assert "x-luthier-model-version" not in api.post(CHAT, question(BASE_MODEL)).headers


def test_a_base_model_is_deployed_by_the_same_verb(api: Gateway) -> None:
    started = api.post(f"/v2/training/models/{BASE_MODEL}/deploy", {}).json()["deployment"]
    assert (started["modelId"], started["status"]) == (BASE_MODEL, "deploying")
    refused = api.post(CHAT, question(BASE_MODEL))
    assert (refused.status, refused.headers["retry-after"]) == (503, "60")
    assert refused.json()["error"]["code"] == "model_not_ready"


@pytest.mark.parametrize("encode", [str, lambda name: quote(name, safe="")])
def test_a_base_model_with_a_slash_in_its_id_can_be_deployed(api: Gateway, encode: Any) -> None:
    name = "meta-llama/Llama-2-7b-hf"
    answer = api.post(f"/v2/training/models/{encode(name)}/deploy")
    assert (answer.status, answer.json()["deployment"]["modelId"]) == (200, name)


@pytest.mark.parametrize(
    ("host", "base"),
    [("api.test", "https://api.test"), ("a1.execute-api.eu-west-1.test", "https://a1.execute-api.eu-west-1.test/prod")],
)
def test_a_deployments_address_begins_as_the_caller_called(api: Gateway, host: str, base: str) -> None:
    answer = api.post(f"/v2/training/models/{BASE_MODEL}/deploy", headers={"Host": host})
    assert answer.json()["deployment"]["url"].startswith(f"{base}/v2/ep_")


def test_a_model_that_is_not_deployed_is_a_conflict(api: Gateway) -> None:
    refused = api.post(CHAT, question(api.platform.completed().result_model or ""))
    assert (refused.status, refused.json()["error"]["code"]) == (409, "model_not_deployed")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"temperature": 3}, "temperature"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"usage": True}}, "stream_options.usage"),
        ({"temprature": 0.1}, "temprature"),
        ({"model": 4}, "model"),
    ],
)
def test_a_wrong_chat_parameter_is_named(api: Gateway, more: dict[str, Any], param: str) -> None:
    refused = api.post(CHAT, question("m") | more)
    assert (refused.status, refused.json()["error"]["param"]) == (400, param)


def test_the_engines_own_refusal_reaches_the_caller(api: Gateway) -> None:
    name = deployed(api)
    said = '{"error": {"message": "It is too high.", "param": "temperature"}}'
    for status, shown in ((400, 400), (500, 503)):
        refusal = {"Error": {"Code": "ModelError"}, "OriginalStatusCode": status, "OriginalMessage": said}
        api.platform.runtime.refusal = RuntimeExceptions.ModelError(refusal, "InvokeEndpoint")
        refused = api.post(CHAT, question(name))
        assert refused.status == shown
        assert "It is too high." in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    "said",
    [
        {"message": "Too many tokens.", "param": "messages", "code": "context_length_exceeded"},
        # vLLM's.
        {"message": "This model's maximum context length is 512 tokens.", "param": None, "code": 400},
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_a_prompt_that_exceeds_the_context_has_openais_code(api: Gateway, said: dict[str, Any], stream: bool) -> None:
    name = deployed(api)
    refusal = {"OriginalStatusCode": 400, "OriginalMessage": json.dumps({"error": said})}
    refusal["Error"] = {"Code": "ModelError"}
    api.platform.runtime.refusal = RuntimeExceptions.ModelError(refusal, "InvokeEndpoint")
    long = [{"role": "user", "content": "word " * 40_000}]
    refused = api.post(CHAT, question(name, messages=long, stream=stream))
    error = refused.json()["error"]
    assert (refused.status, error["type"], error["code"]) == (400, "invalid_request_error", "context_length_exceeded")


def test_another_organizations_model_and_one_that_failed_are_refused_in_openais_shape(api: Gateway) -> None:
    name = deployed(api)
    refused = api.caller("admin", organization_id="org_b").post(CHAT, question(name))
    assert (refused.status, refused.json()["error"]["code"]) == (404, "model_not_found")
    api.platform.probe.failing = Conflict("No.", code="deployment_failed")
    api.platform.deployed(principal(), BASE_MODEL)
    refused = api.post(CHAT, question(BASE_MODEL, stream=True))
    assert (refused.status, set(refused.json()["error"])) == (409, {"message", "type", "param", "code"})
    assert refused.json()["error"]["code"] == "model_not_deployed"


def test_a_model_is_deleted_once_it_is_not_deployed(api: Gateway) -> None:
    name = api.platform.completed(suffix="v1").result_model or ""
    made = api.platform.deployed(principal(), name)
    refused = api.delete(f"/v1/models/{name}")
    assert (refused.status, refused.json()["error"]["type"]) == (409, "conflict_error")
    api.platform.run_deployment(api.platform.deployments.delete(principal(), made.id))
    assert api.caller("models:read").delete(f"/v1/models/{name}").status == 403
    assert api.delete(f"/v1/models/{name}").json() == {"id": name, "object": "model", "deleted": True}
    assert api.delete(f"/v1/models/{name}").status == 404
    assert api.get("/v1/models").json()["data"] == []


def test_a_chat_needs_the_inference_scope(api: Gateway) -> None:
    assert api.caller("models:read").post(CHAT, question("m")).status == 403


def test_the_api_describes_itself_without_a_key(api: Gateway) -> None:
    document = api.stranger().get("/openapi.json").json()
    assert "/api/v1/fine-tuning/jobs" in document["paths"]
