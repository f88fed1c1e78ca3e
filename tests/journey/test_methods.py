"""Preferences on the running cloud, from rows to a model."""

import json
from typing import Any

from tests.journey.customer import TICKETS, Customer
from tests.journey.local_cloud import MODEL, wait_for

JOBS = "/v1/fine-tune"
ROWS = 64


def pairs() -> bytes:
    """Tickets with their right answer, and one that says nothing as the rejected one."""
    tickets = [json.loads(line)["messages"] for line in TICKETS.read_text().splitlines()[:ROWS]]
    rows = [
        {"prompt": ticket[:-1], "chosen": ticket[-1:], "rejected": [{"role": "assistant", "content": "I do not know."}]}
        for ticket in tickets
    ]
    return "\n".join(map(json.dumps, rows)).encode()


def upload(customer: Customer) -> str:
    files = {"file": ("pairs.jsonl", pairs(), "application/jsonl")}
    return str(customer.call("POST", "/v1/files", files=files, data={"purpose": "fine-tune"})["id"])


def test_preferences_are_trained_on_and_yield_a_model(completed: dict[str, Any], customer: Customer) -> None:
    asked = {
        "baseModel": MODEL,
        "dataset": upload(customer),
        "trainingMethod": "dpo",
        "hyperparameters": {"epochs": 2, "learningRate": 0.001, "batchSize": 8, "beta": 0.2, "loraRank": 4},
        "evaluation": {"generate": False},
        "suffix": "dpo",
    }
    job_id = customer.call("POST", JOBS, json=asked)["jobId"]

    def look() -> dict[str, Any] | None:
        job = customer.call("GET", f"{JOBS}/{job_id}")
        assert job["status"] not in ("failed", "stopped"), job["error"]
        return job if job["status"] == "completed" else None

    job = dict(wait_for(look, 180, f"the end of {job_id}"))
    assert (job["artifact"], job["ended"], job["trainingMethod"]) == (f"{MODEL}-dpo", "completed", "dpo")
    assert job["metrics"]["loss"] is not None
    assert job["hyperparameters"]["beta"] == 0.2
    assert job["progress"]["percent"] == 100


def test_training_goes_on_from_the_adapter_of_an_own_model(completed: dict[str, Any], customer: Customer) -> None:
    job_id = customer.create_job({"epochs": 1, "learningRate": 0.001}, suffix="on", baseModel=completed["resultModel"])
    job = customer.wait_for_status(job_id, "completed")
    assert (job["startFrom"], job["resultModel"]) == (completed["resultModel"], f"{MODEL}-on")
    # It begins where the earlier run ended, far below an untrained model.
    steps = customer.call("GET", f"/api/v1/fine-tuning/jobs/{job_id}/metrics")["metrics"]["steps"]
    earlier = customer.call("GET", f"/api/v1/fine-tuning/jobs/{completed['id']}/metrics")["metrics"]["steps"]
    assert steps[0]["trainingLoss"] < earlier[0]["trainingLoss"] - 0.5
