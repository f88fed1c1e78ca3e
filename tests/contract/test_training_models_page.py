"""Deploying a model as the training_models page documents it."""

from typing import Any

from tests.contract.test_fine_tuning_page import assert_as_documented
from tests.factories import principal
from tests.gateway import Gateway

REQUEST: dict[str, Any] = {
    "name": "customer-support-chat-v2",
    "environment": "production",
    "gpuType": "a100",
    "workers": 3,
    "scaling": {"minWorkers": 1, "maxWorkers": 10, "targetUtilization": 0.7},
    "configuration": {"max_tokens": 512, "temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.1},
}
ANSWER = {
    "deployment": {
        "id": "ep_customer_support_v2", "modelId": "model_1234567890abcdef", "name": REQUEST["name"],
        "status": "deploying", "environment": "production",
        "url": "https://api.example.test/v2/ep_customer_support_v2/runsync",
        "configuration": {"gpuType": "NVIDIA A100", "workers": 3, "maxTokens": 512, "temperature": 0.7},
        "estimatedReadyTime": "2025-02-01T10:00:00Z", "createdAt": "2025-02-01T10:00:00Z",
    }
}  # fmt: skip


def test_deploy_model(api: Gateway) -> None:
    model = api.platform.models.of_job(api.platform.completed())
    assert model is not None
    answer = api.post(f"/v2/training/models/{model.id}/deploy", REQUEST)
    assert answer.status == 200
    assert_as_documented(ANSWER, answer.json())
    deployment = answer.json()["deployment"]
    documented = ANSWER["deployment"]
    # The page's fields in the page's order, then ours.
    assert list(deployment)[: len(documented)] == list(documented)
    assert deployment["configuration"] | documented["configuration"] == deployment["configuration"]
    assert {key: deployment[key] for key in ("modelId", "name", "status", "environment")} == {
        "modelId": model.id,
        "name": REQUEST["name"],
        "status": "deploying",
        "environment": "production",
    }
    assert deployment["url"] == f"https://api.example.test/v2/{deployment['id']}/runsync"
    assert deployment["scaling"] == REQUEST["scaling"]


def test_an_active_deployment_shows_what_the_page_shows_of_it(api: Gateway) -> None:
    name = api.platform.completed().result_model
    started = api.post(f"/v2/training/models/{name}/deploy", REQUEST).json()["deployment"]
    api.platform.run_deployment(api.platform.deployments.get(principal(), started["id"]))
    shown = api.get(f"/v2/training/deployments/{started['id']}").json()
    assert (shown["status"], shown["configuration"]["workers"]) == ("active", 3)


def test_deploying_again_answers_with_the_same_deployment(api: Gateway) -> None:
    name = api.platform.completed().result_model
    first, second = (api.post(f"/v2/training/models/{name}/deploy").json()["deployment"] for _ in range(2))
    assert first == second


def test_an_unknown_model(api: Gateway) -> None:
    refused = api.post("/v2/training/models/model_invalid_id/deploy", REQUEST)
    assert (refused.status, refused.json()["error"]) == (404, "MODEL_NOT_FOUND")
    assert refused.json()["details"]["modelId"] == "model_invalid_id"


def test_a_gpu_that_there_is_not(api: Gateway) -> None:
    name = api.platform.completed().result_model
    refused = api.post(f"/v2/training/models/{name}/deploy", {"gpuType": "v100"})
    assert (refused.status, refused.json()["error"]) == (422, "DEPLOYMENT_FAILED")
    details = refused.json()["details"]
    assert (details["reason"], details["requestedGpuType"]) == ("Unknown or unavailable GPU type", "v100")
    assert {"l4", "a100", "h100"} <= set(details["availableGpuTypes"])


def test_a_model_that_is_too_large(api: Gateway) -> None:
    refused = api.post("/v2/training/models/llama-3.1-70b/deploy", {"gpuType": "l4"})
    assert (refused.status, refused.json()["error"]) == (422, "MODEL_TOO_LARGE")
    details = refused.json()["details"]
    assert (details["modelSize"], details["maxAllowedSize"]) == ("170GB", "22GB")
    assert details["suggestions"]


def test_a_deployment_that_failed_says_why_in_the_pages_words(api: Gateway) -> None:
    platform = api.platform
    for kind in ("ml.g6.2xlarge", "ml.g6.4xlarge"):
        platform.sagemaker.endpoint_failures[kind] = "CapacityError: Unable to provision"
    name = platform.completed().result_model
    started = api.post(f"/v2/training/models/{name}/deploy", {"gpuType": "l4"}).json()["deployment"]
    platform.run_deployment(platform.deployments.get(principal(), started["id"]))
    error = api.get(f"/v2/training/deployments/{started['id']}").json()["error"]
    assert error["error"] == "DEPLOYMENT_FAILED"
    assert (error["details"]["requestedGpuType"], error["details"]["code"]) == ("l4", "deployment_failed")
    assert "CapacityError" in error["details"]["reason"]
