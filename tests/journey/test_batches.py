"""Batches on the running cloud: through queue, worker and bucket, under least privilege, from a real tuned model."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.journey.customer import Customer
from tests.journey.local_cloud import LocalCloud, wait_for
from tests.receivers import Receiver

_SECONDS = 120.0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().running() as receiver:
        yield receiver


def ended(customer: Customer, path: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = customer.call("GET", path)
        return found if found["status"] in ("completed", "failed", "expired", "cancelled") else None

    return dict(wait_for(look, _SECONDS, f"the end of {path}"))


def test_a_batch_and_a_run_are_answered_by_the_tuned_model_and_their_callbacks_hear_of_it(
    completed: dict[str, Any], customer: Customer, receiver: Receiver
) -> None:
    customer.deploy(completed["id"])
    asked = [{"id": f"ticket {i}", "prompt": f"Where is parcel {i}?", "maxTokens": 8} for i in range(5)]
    wish = {"modelId": completed["resultModel"], "requests": asked, "webhookUrl": receiver.url("/batch")}
    batch = customer.call("POST", "/v1/batch/inference", json=wish)
    assert batch["summary"] == {"total": 5, "accepted": 5}
    done = ended(customer, f"/v1/batch/inference/{batch['batchId']}")
    assert (done["status"], done["summary"]["completed"]) == ("completed", 5), done
    assert [row["id"] for row in done["results"]] == [one["id"] for one in asked]
    assert all(row["tokens"] > 0 for row in done["results"])

    body = {"input": {"prompt": "Where is it?", "max_tokens": 8}, "callbackUrl": receiver.url("/run")}
    base = f"/v2/endpoints/{completed['resultModel']}"
    run = customer.call("POST", f"{base}/runasync", json=body)
    answered = ended(customer, f"{base}/status/{run['id']}")
    assert (answered["status"], answered["error"]) == ("completed", None), answered
    assert answered["metadata"]["tokensUsed"] > 0

    wait_for(lambda: len(receiver.received) == 2, 60, "both callbacks")
    heard = {one.path: json.loads(one.body) for one in receiver.received}
    assert heard["/batch"]["event"] == heard["/run"]["event"] == "batch.completed"
    assert heard["/batch"]["data"]["succeeded"] == 5
    health = customer.call("GET", f"{base}/health", params={"check": "deep"})
    assert (health["status"], health["readiness"]) == ("healthy", "ready"), health


def test_an_openai_client_has_a_file_of_requests_answered(
    completed: dict[str, Any], customer: Customer, cloud: LocalCloud
) -> None:
    customer.deploy(completed["id"])
    lines = [
        {
            "custom_id": f"request-{i}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {
                "model": completed["resultModel"],
                "messages": [{"role": "user", "content": f"Where is parcel {i}?"}],
                "max_tokens": 0 if i == 3 else 8,
            },
        }
        for i in range(6)
    ]
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    with openai.OpenAI(base_url=f"{cloud.environment['LUTHIER_BASE_URL']}/v1",
                       api_key=cloud.environment["LUTHIER_API_KEY"]) as client:  # fmt: skip
        file = client.files.create(file=("in.jsonl", content), purpose="batch")
        batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        done = ended(customer, f"/v1/batches/{batch.id}")
        assert (done["status"], done["request_counts"]) == ("completed", {"total": 6, "completed": 5, "failed": 1})
        output = [json.loads(row) for row in client.files.content(done["output_file_id"]).text.splitlines()]
        errors = [json.loads(row) for row in client.files.content(done["error_file_id"]).text.splitlines()]
    assert [row["custom_id"] for row in output] == [f"request-{i}" for i in (0, 1, 2, 4, 5)]
    # The tiny model may end an answer with its first token.
    assert all(row["response"]["body"]["usage"]["completion_tokens"] >= 1 for row in output)
    assert [row["custom_id"] for row in errors] == ["request-3"]
