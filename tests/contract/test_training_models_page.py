"""Deploying a model as the training_models page documents it."""

from typing import Any

from tests.contract.test_fine_tuning_page import assert_as_documented
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
    assert list(deployment) == list(ANSWER["deployment"])
    assert {key: deployment[key] for key in ("modelId", "name", "status", "environment")} == {
        "modelId": model.id,
        "name": REQUEST["name"],
        "status": "deploying",
        "environment": "production",
    }
    assert deployment["url"].endswith(f"/v2/{deployment['id']}/runsync")


def test_deploying_again_answers_with_the_same_deployment(api: Gateway) -> None:
    name = api.platform.completed().result_model
    first, second = (api.post(f"/v2/training/models/{name}/deploy").json()["deployment"] for _ in range(2))
    assert first == second
