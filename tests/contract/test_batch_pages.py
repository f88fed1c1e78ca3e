"""Batches and runs as the pages have them, and what the pages leave open."""

from typing import Any

import pytest

from luthier import wiring
from tests.factories import BASE_MODEL, principal
from tests.fakes import refusal
from tests.gateway import Gateway

WHO = principal()
# The page's example, of which there may be a hundred.
BATCH = {
    "modelId": BASE_MODEL,
    "requests": [{"id": "1", "prompt": "Summarize LLMTune in one sentence."}, {"id": "2", "prompt": "Hello"}],
    "webhookUrl": "https://app.yourdomain.com/batch-callback",
}
RUN = {"input": {"prompt": "Hello"}, "async": True, "callbackUrl": "https://app.yourdomain.com/run", "priority": "high"}
RUN |= {"tags": {"team": "support"}}


@pytest.fixture
def api(api: Gateway) -> Gateway:
    api.platform.deployed(WHO, BASE_MODEL)
    api.platform.runtime.asked.clear()
    return api


def endpoint(api: Gateway) -> str:
    found = api.platform.deployments.find("org_a", BASE_MODEL)
    assert found is not None
    return found.id


def test_a_batch_is_accepted_answered_and_read(api: Gateway) -> None:
    answer = api.post("/v1/batch/inference", BATCH)
    assert answer.status == 202, answer.text
    made = answer.json()
    assert made == {"batchId": made["batchId"], "status": "queued", "summary": {"total": 2, "accepted": 2}}
    before = api.get(f"/v1/batch/inference/{made['batchId']}").json()
    assert (before["status"], before["results"], before["completedAt"]) == ("queued", None, None)
    api.answer_batches()
    after = api.get(f"/v1/batch/inference/{made['batchId']}").json()
    assert list(after) == [
        "batchId", "modelId", "status", "summary", "results", "resultsUrl", "webhookUrl", "createdAt", "completedAt",
        "expiresAt",
    ]  # fmt: skip
    assert (after["status"], after["webhookUrl"]) == ("completed", BATCH["webhookUrl"])
    assert after["summary"] == {"total": 2, "accepted": 2, "completed": 2, "failed": 0}
    assert after["results"][0] == {
        "id": "1", "status": "completed", "text": BATCH["requests"][0]["prompt"], "tokens": 10, "model": BASE_MODEL,  # type: ignore[index]
        "latency": after["results"][0]["latency"], "metadata": None, "deploymentId": endpoint(api),
        "modelVersion": None, "error": None,
    }  # fmt: skip
    assert after["results"][1]["text"] == "Hello"
    asked = api.platform.runtime.asked[-1]
    assert (asked["temperature"], asked["max_tokens"]) == (0.7, 1024)


def test_a_hundred_requests_are_taken_and_one_more_is_refused(api: Gateway) -> None:
    many = [{"id": str(i), "prompt": "x"} for i in range(101)]
    assert api.post("/v1/batch/inference", BATCH | {"requests": many[:100]}).json()["summary"]["accepted"] == 100
    refused = api.post("/v1/batch/inference", BATCH | {"requests": many})
    assert (refused.status, refused.json()["error"]["details"]["param"]) == (400, "requests")


def test_a_request_that_failed_says_why_in_the_surfaces_words(api: Gateway) -> None:
    api.platform.runtime.refusal = refusal("ValidationError", "Endpoint not found.")
    made = api.post("/v1/batch/inference", BATCH).json()["batchId"]
    wiring.batch_worker()._desk._sleep = lambda seconds: None  # type: ignore[method-assign]
    api.answer_batches()
    body = api.get(f"/v1/batch/inference/{made}").json()
    assert body["summary"]["failed"] == 2
    assert body["results"][0]["error"]["code"] == "MODEL_UNAVAILABLE"
    assert (body["results"][0]["status"], body["results"][0]["text"]) == ("failed", None)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"modelId": ""}, "modelId"),
        ({"requests": []}, "requests"),
        ({"requests": [{"prompt": "x"}]}, "requests[0].id"),
        ({"requests": [{"id": "", "prompt": "x"}]}, "requests[0].id"),
        ({"requests": [{"id": "1", "prompt": "x"}, {"id": "1", "prompt": "y"}]}, "requests[1].id"),
        ({"requests": [{"id": "1", "prompt": "x", "temperature": 3}]}, "requests[0].temperature"),
        ({"webhookUrl": "not an address"}, "webhookUrl"),
        ({"webhookUrl": "https://127.0.0.1/hook"}, "webhookUrl"),
        ({"webhookUrl": "http://app.yourdomain.com"}, "webhookUrl"),
        ({"wizard": 1}, "wizard"),
    ],
)
def test_a_bad_batch_names_the_field(api: Gateway, change: dict[str, Any], field: str) -> None:
    refused = api.post("/v1/batch/inference", BATCH | change)
    assert (refused.status, refused.json()["error"]["details"]["param"]) == (400, field), refused.text


def test_an_unknown_model_and_one_that_is_not_deployed_are_refused_at_once(api: Gateway) -> None:
    assert api.post("/v1/batch/inference", BATCH | {"modelId": "nobody"}).status == 404
    refused = api.post("/v1/batch/inference", BATCH | {"modelId": "llama-3.1-8b"})
    assert (refused.status, refused.json()["error"]["code"]) == (409, "MODEL_NOT_DEPLOYED")


def test_a_batch_sent_twice_with_one_key_is_made_once(api: Gateway) -> None:
    key = {"Idempotency-Key": "k"}
    first, second = (api.post("/v1/batch/inference", BATCH, headers=key).json() for _ in range(2))
    assert first["batchId"] == second["batchId"]
    refused = api.post("/v1/batch/inference", BATCH | {"requests": [{"id": "3", "prompt": "x"}]}, headers=key)
    assert refused.status == 422


def test_a_batch_is_cancelled(api: Gateway) -> None:
    made = api.post("/v1/batch/inference", BATCH).json()["batchId"]
    assert api.post(f"/v1/batch/inference/{made}/cancel").json()["status"] == "cancelling"
    api.answer_batches()
    body = api.get(f"/v1/batch/inference/{made}").json()
    assert (body["status"], body["results"][0]["error"]["code"]) == ("cancelled", "BATCH_CANCELLED")
    assert api.platform.runtime.asked == []


@pytest.mark.parametrize("base", ["/v2/{}", "/v2/endpoints/{}"])
def test_a_run_is_accepted_answered_and_read(api: Gateway, base: str) -> None:
    base = base.format(endpoint(api))
    answer = api.post(f"{base}/runasync", RUN)
    assert answer.status == 202, answer.text
    made = answer.json()
    assert list(made) == [
        "id", "endpointId", "status", "output", "executionTime", "metadata", "error", "priority", "tags", "createdAt",
        "completedAt", "expiresAt", "deploymentId", "modelVersion",
    ]  # fmt: skip
    assert (made["status"], made["priority"], made["tags"], made["output"]) == ("queued", "high", RUN["tags"], None)
    assert made["id"].startswith("run_")
    api.answer_batches()
    done = api.get(f"{base}/status/{made['id']}").json()
    assert (done["status"], done["output"]) == ("completed", {"text": "Hello", "finishReason": "stop"})
    assert list(done["metadata"]) == ["model", "tokensUsed", "cost"]
    assert done["deploymentId"] == endpoint(api)
    assert api.post(f"{base}/cancel/{made['id']}").status == 409


@pytest.mark.parametrize("base", ["/v2/{}", "/v2/endpoints/{}"])
def test_a_run_that_has_not_begun_is_cancelled(api: Gateway, base: str) -> None:
    base = base.format(endpoint(api))
    made = api.post(f"{base}/runasync", RUN).json()["id"]
    assert api.post(f"{base}/cancel/{made}").json()["status"] == "cancelling"
    api.answer_batches()
    done = api.get(f"{base}/status/{made}").json()
    assert (done["status"], done["error"]["code"]) == ("cancelled", "BATCH_CANCELLED")
    assert api.platform.runtime.asked == []


def test_a_run_that_failed_says_why(api: Gateway) -> None:
    made = api.post(f"/v2/{endpoint(api)}/runasync", RUN).json()["id"]
    api.platform.runtime.refusal = refusal("ValidationError", "Endpoint not found.")
    wiring.batch_worker()._desk._sleep = lambda seconds: None  # type: ignore[method-assign]
    api.answer_batches()
    done = api.get(f"/v2/{endpoint(api)}/status/{made}").json()
    assert (done["status"], done["error"]["code"], done["output"]) == ("failed", "MODEL_UNAVAILABLE", None)


def test_a_run_belongs_to_its_endpoint(api: Gateway) -> None:
    made = api.post(f"/v2/{endpoint(api)}/runasync", RUN).json()["id"]
    assert api.get(f"/v2/{BASE_MODEL}/status/{made}").status == 404
    assert api.get(f"/v2/{endpoint(api)}/status/run_x").status == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"input": {}}, "input.prompt"),
        ({"async": False}, "async"),
        ({"priority": "urgent"}, "priority"),
        ({"tags": {"a": 1}}, "tags.a"),
        ({"callbackUrl": "https://10.0.0.1/"}, "callbackUrl"),
    ],
)
def test_a_bad_run_names_the_field(api: Gateway, change: dict[str, Any], field: str) -> None:
    refused = api.post(f"/v2/{endpoint(api)}/runasync", RUN | change)
    assert (refused.status, refused.json()["details"]["field"]) == (400, field), refused.text


@pytest.mark.parametrize("base", ["/v2/{}", "/v2/endpoints/{}"])
def test_health(api: Gateway, base: str) -> None:
    base = base.format(endpoint(api))
    body = api.get(f"{base}/health").json()
    assert list(body) == [
        "endpointId", "status", "readiness", "lastChecked", "responseTime", "uptime", "version", "checks",
    ]  # fmt: skip
    assert (body["status"], body["readiness"], list(body["checks"])) == ("healthy", "ready", ["api"])
    assert api.platform.runtime.asked == []
    detailed = api.get(f"{base}/health?check=detailed&include=resources&include=dependencies").json()
    assert list(detailed["checks"]) == ["api", "endpoint", "resources", "dependencies"]
    assert detailed["checks"]["endpoint"]["copies"] == 1
    deep = api.get(f"{base}/health?check=deep&timeout=5").json()
    assert (deep["status"], deep["checks"]["model"]["message"]) == ("healthy", "It answered.")
    assert len(api.platform.runtime.asked) == 1


def test_the_health_of_what_does_not_answer_sleeps_or_comes_up(api: Gateway) -> None:
    path = f"/v2/{endpoint(api)}/health?check=deep"
    api.platform.runtime.refusal = refusal("ValidationError", "Endpoint not found.")
    body = api.get(path).json()
    assert (body["status"], body["readiness"], body["checks"]["model"]["status"]) == (
        "unhealthy", "not_ready", "unhealthy",
    )  # fmt: skip
    asleep = "Inference Component has no capacity to process this request."
    api.platform.runtime.refusal = refusal("ValidationError", asleep)
    body = api.get(path).json()
    assert (body["status"], body["readiness"]) == ("healthy", "sleeping")
    tuned = api.platform.completed().result_model or ""
    coming = api.platform.deployments.deploy_model(WHO, tuned)
    body = api.get(f"/v2/{coming.id}/health").json()
    assert (body["status"], body["readiness"], body["uptime"]) == ("degraded", "starting", None)


@pytest.mark.parametrize("query", ["check=shallow", "timeout=0", "timeout=31", "include=everything", "depth=1"])
def test_a_bad_health_check_is_refused(api: Gateway, query: str) -> None:
    assert api.get(f"/v2/{endpoint(api)}/health?{query}").status == 400


def test_nobody_checks_what_is_not_theirs(api: Gateway) -> None:
    assert api.caller("admin", organization_id="org_b").get(f"/v2/{endpoint(api)}/health").status == 404
    assert api.get("/v2/nobody/health").status == 404
