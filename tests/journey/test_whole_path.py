"""From a file to an answer of the tuned model, through unmodified clients."""

from typing import Any

import httpx
import openai
import pytest

from tests.journey.customer import JOBS, Customer
from tests.journey.local_cloud import MODEL, LocalCloud

QUESTION = [
    {"role": "system", "content": "Sort the support ticket. Answer in JSON."},
    {"role": "user", "content": "Where is my parcel? It was due last week."},
]


def test_a_job_runs_to_its_end_and_yields_a_model(completed: dict[str, Any]) -> None:
    assert completed["resultModel"] == f"{MODEL}-journey"
    assert completed["progress"]["percent"] == 100
    assert completed["trainedTokens"] > 0
    assert completed["finishedAt"] >= completed["startedAt"] >= completed["createdAt"]


def test_the_metrics_come_from_the_trainer(completed: dict[str, Any], customer: Customer) -> None:
    metrics = customer.call("GET", f"{JOBS}/{completed['id']}/metrics")["metrics"]

    assert [step["step"] for step in metrics["steps"]] == list(range(1, len(metrics["steps"]) + 1))
    assert metrics["steps"][-1]["trainingLoss"] < metrics["steps"][0]["trainingLoss"]
    assert metrics["trainingLoss"] == completed["metrics"]["trainingLoss"]


def test_the_logs_come_from_cloudwatch(completed: dict[str, Any], customer: Customer) -> None:
    logs = customer.call("GET", f"{JOBS}/{completed['id']}/logs", params={"lines": 5})["logs"]

    assert len(logs) == 5
    assert {"timestamp", "level", "message"} <= set(logs[0])


def test_an_openai_client_talks_to_the_tuned_model(
    completed: dict[str, Any], customer: Customer, cloud: LocalCloud
) -> None:
    customer.deploy(completed["id"])

    with openai.OpenAI(base_url=f"{cloud.environment['LUTHIER_BASE_URL']}/v1",
                       api_key=cloud.environment["LUTHIER_API_KEY"]) as client:  # fmt: skip
        answer = client.chat.completions.create(
            model=completed["resultModel"], messages=QUESTION, max_tokens=24, temperature=0
        )
        assert completed["resultModel"] in [model.id for model in client.models.list()]

    assert answer.model == completed["resultModel"]
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_what_the_server_refuses_is_a_model_error_with_its_own_words(
    completed: dict[str, Any], cloud: LocalCloud
) -> None:
    component = cloud.aws("sagemaker").list_inference_components()["InferenceComponents"][0]
    runtime = cloud.aws("sagemaker-runtime")

    with pytest.raises(runtime.exceptions.ModelError) as refused:
        runtime.invoke_endpoint(
            EndpointName=component["EndpointName"],
            InferenceComponentName=component["InferenceComponentName"],
            ContentType="application/json",
            Body=b'{"messages": []}',
        )

    assert refused.value.response["OriginalStatusCode"] == 400
    assert "messages" in refused.value.response["OriginalMessage"]


def test_every_path_reaches_the_api_unchanged(api: httpx.Client) -> None:
    assert api.get("/openapi.json").json()["info"]["title"] == "Luthier"
    assert api.get("/docs").text.startswith("<!DOCTYPE html>")
    unknown = api.get("/no/such%2Fpath")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "unknown_path"


def test_a_body_too_large_for_the_gateway_is_refused_in_its_documented_form(api: httpx.Client) -> None:
    answer = api.post("/v1/files", files={"file": ("big.jsonl", b"x" * 11_000_000)}, data={"purpose": "fine-tune"})

    assert answer.status_code == 413
    assert answer.json()["error"]["code"] == "payload_too_large"
