"""Asking a model as three pages document it: the tuning surface, the playground, an endpoint's runsync."""

from typing import Any

import pytest

from luthier import wiring
from tests.factories import BASE_MODEL, principal
from tests.gateway import Gateway

WHO = principal()
PLAYGROUND = "/api/v1/playground"
SINGLE = {"prompt": "Summarize LLMTune in one sentence.", "temperature": 0.7, "maxTokens": 200}
COMPLETION: dict[str, Any] = {
    "model": BASE_MODEL,
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Explain LoRA fine-tuning in one paragraph."},
    ],
    "temperature": 0.7,
    "max_tokens": 1024,
}


@pytest.fixture
def tuned(api: Gateway) -> str:
    """A public name, with slashes, of a model that is deployed."""
    model = api.platform.models.of_job(api.platform.completed())
    assert model is not None
    api.platform.deployed(WHO, model.id)
    return next(name for name in model.names if "/" in name)


@pytest.mark.parametrize("encoded", [False, True], ids=["slashes as they are", "slashes percent-encoded"])
def test_single_inference(api: Gateway, tuned: str, encoded: bool) -> None:
    name = tuned.replace("/", "%2F") if encoded else tuned
    answer = api.post(f"/v1/models/{name}/inference", SINGLE | {"metadata": {"trace": "7"}})
    assert answer.status == 200, answer.text
    body = answer.json()
    assert list(body) == ["text", "tokens", "model", "latency", "metadata"]
    assert answer.headers["x-luthier-deployment"].startswith("ep_")
    assert (body["text"], body["model"], body["metadata"]) == (SINGLE["prompt"], tuned, {"trace": "7"})
    assert isinstance(body["latency"], int)
    asked = api.platform.runtime.asked[-1]
    assert {name: asked[name] for name in ("messages", "temperature", "max_tokens", "top_p", "top_k")} == {
        "messages": [{"role": "user", "content": SINGLE["prompt"]}],
        "temperature": 0.7,
        "max_tokens": 200,
        "top_p": 1.0,
        "top_k": 50,
    }


def test_the_playground_of_the_tuning_surface_names_the_model_in_its_body(api: Gateway, tuned: str) -> None:
    answer = api.post("/v1/playground/inference", {"modelId": tuned, "prompt": "Hello"})
    assert answer.json()["text"] == "Hello"
    assert api.platform.runtime.asked[-1]["max_tokens"] == 800


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "b"}]}, "messages[0].role"),
        ({"prompt": "a", "temperature": 3}, "temperature"),
        ({"prompt": "a", "maxTokens": 0}, "maxTokens"),
        ({"prompt": "a", "topP": 1.5}, "topP"),
        ({"prompt": "a", "metadata": 3}, "metadata"),
        ({"prompt": "a", "topK": 0}, "topK"),
        ({"prompt": "a", "bestOf": 5}, "bestOf"),
    ],
)
def test_a_bad_field_is_named(api: Gateway, body: dict[str, Any], field: str) -> None:
    refused = api.post(f"/v1/models/{BASE_MODEL}/inference", body)
    assert refused.status == 400
    assert field in refused.text


def test_reading_a_model_stays_the_openai_surfaces(api: Gateway, tuned: str) -> None:
    assert api.get(f"/v1/models/{tuned}").json()["object"] == "model"
    assert api.post("/v1/models/nobody/inference", SINGLE).json()["error"]["code"] == "MODEL_NOT_FOUND"


def test_list_playground_models(api: Gateway) -> None:
    model = api.platform.models.of_job(api.platform.completed())
    assert model is not None
    data = api.get(f"{PLAYGROUND}/models").json()["data"]
    assert {"id": "Qwen/Qwen3.5-2B", "name": "Qwen3.5-2B", "type": "base"} in data["base_models"]
    [tuned] = data["fine_tuned_models"]
    assert tuned == {
        "id": f"org_a/smollm2-135m-instruct-ft-{model.id[-8:]}",
        "name": f"smollm2-135m-instruct-ft-{model.id[-8:]}",
        "type": "fine-tuned",
        "base_model": BASE_MODEL,
    }


def test_run_a_completion(api: Gateway) -> None:
    api.platform.deployed(WHO, BASE_MODEL)
    data = api.post(f"{PLAYGROUND}/completions", COMPLETION).json()["data"]
    assert list(data) == ["content", "latency_ms", "usage"]
    assert data["content"] == COMPLETION["messages"][-1]["content"]
    assert list(data["usage"]) == ["prompt_tokens", "completion_tokens"]


def test_a_completion_has_the_documented_defaults(api: Gateway) -> None:
    api.platform.deployed(WHO, BASE_MODEL)
    api.post(f"{PLAYGROUND}/completions", {name: COMPLETION[name] for name in ("model", "messages")})
    asked = api.platform.runtime.asked[-1]
    assert (asked["temperature"], asked["max_tokens"]) == (0.7, 1024)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": ""}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"temperature": 2.1}, "temperature"),
        ({"max_tokens": 4097}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stream": True}, "stream"),
    ],
)
def test_a_bad_completion_is_a_validation_error(api: Gateway, change: dict[str, Any], field: str) -> None:
    refused = api.post(f"{PLAYGROUND}/completions", COMPLETION | change)
    assert refused.status == 400
    assert refused.json()["error"]["code"] == "validation_error"
    assert field in refused.json()["error"]["message"]


def test_a_playground_that_is_switched_off_says_so_in_the_pages_words(
    api: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_HOSTED_INFERENCE", "off")
    wiring.settings.cache_clear()
    refused = api.post(f"{PLAYGROUND}/completions", COMPLETION)
    assert (refused.status, refused.json()) == (
        501,
        {
            "error": {
                "code": "playground_unavailable",
                "message": "Playground inference is unavailable for hosted fine-tuned models.",
            }
        },
    )
    assert api.post(f"{PLAYGROUND}/completions", {}).status == 400


@pytest.mark.parametrize("path", ["/v2/{}/runsync", "/v2/endpoints/{}/runsync"])
def test_runsync(api: Gateway, path: str) -> None:
    deployment = api.platform.deployed(WHO, BASE_MODEL)
    answer = api.post(path.format(deployment.id), {"input": {"prompt": "Hello", "max_tokens": 5}})
    assert answer.status == 200, answer.text
    body = answer.json()
    assert list(body) == ["output", "executionTime", "status", "metadata"]
    assert body["output"] == {"text": "Hello", "finishReason": "stop"}
    assert body["status"] == "completed"
    assert list(body["metadata"]) == ["model", "tokensUsed", "cost"]


@pytest.mark.parametrize("path", ["/v2/{}/runsync", "/v2/endpoints/{}/runsync"])
@pytest.mark.parametrize("encoded", [False, True], ids=["slashes as they are", "slashes percent-encoded"])
def test_an_endpoint_is_asked_by_a_name_with_slashes_too(api: Gateway, tuned: str, path: str, encoded: bool) -> None:
    name = tuned.replace("/", "%2F") if encoded else tuned
    answer = api.post(path.format(name), {"input": {"prompt": "Hello"}})
    assert answer.status == 200, answer.text
    assert answer.json()["metadata"]["model"] == tuned
    assert api.get(path.format(name).replace("runsync", "health")).json()["status"] == "healthy"


def test_every_door_tells_in_a_header_which_deployment_and_version_have_answered(api: Gateway, tuned: str) -> None:
    deployment = api.platform.deployments.find("org_a", tuned)
    assert deployment is not None
    hello = {"messages": [{"role": "user", "content": "Hello"}]}
    for path, body in [
        (f"/v1/models/{tuned}/inference", hello),
        ("/v1/playground/inference", hello | {"modelId": tuned}),
        (f"{PLAYGROUND}/completions", hello | {"model": tuned}),
        (f"/v2/{deployment.id}/runsync", {"input": hello}),
        ("/v1/chat/completions", hello | {"model": tuned}),
    ]:
        answer = api.post(path, body)
        told = answer.headers["x-luthier-deployment"], answer.headers["x-luthier-model-version"]
        assert told == (deployment.id, deployment.model_version), path
    entries = [entry for entry in api.get("/v1/organization/audit_logs").json()["data"] if entry["deployment_id"]]
    assert len(entries) == 5
    assert {(entry["deployment_id"], entry["model_version"]) for entry in entries} == {told}


def test_runsync_names_the_bad_field_of_its_input(api: Gateway) -> None:
    refused = api.post("/v2/ep_1/runsync", {"input": {"prompt": "a", "max_tokens": 0}})
    assert refused.status == 400
    assert (refused.json()["error"], refused.json()["details"]["field"]) == ("INVALID_INPUT", "input.max_tokens")
    for name in ("ep_unknown", "nobody"):
        unknown = api.post(f"/v2/{name}/runsync", {"input": {"prompt": "a"}})
        assert (unknown.status, unknown.json()["error"]) == (404, "ENDPOINT_NOT_FOUND")
