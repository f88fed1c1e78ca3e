"""The whole of OpenAI's fine-tuning contract with its unmodified client: a file becomes a model that answers."""

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion
from openai.types.fine_tuning import FineTuningJob

from tests.journey.customer import TICKETS, Customer
from tests.journey.local_cloud import MODEL, LocalCloud, wait_for

HYPERPARAMETERS: Any = {"n_epochs": 1, "batch_size": 8, "learning_rate_multiplier": 10.0}
METHOD: Any = {"type": "supervised", "supervised": {"hyperparameters": HYPERPARAMETERS}}


@pytest.fixture
def client(cloud: LocalCloud, completed: dict[str, Any]) -> Iterator[openai.OpenAI]:
    url, key = (cloud.environment[name] for name in ("LUTHIER_BASE_URL", "LUTHIER_API_KEY"))
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, _strict_response_validation=True) as client:
        yield client


def ended(client: openai.OpenAI, job: FineTuningJob) -> FineTuningJob:
    def look() -> FineTuningJob | None:
        found = client.fine_tuning.jobs.retrieve(job.id)
        return found if found.finished_at else None

    found: FineTuningJob = wait_for(look, 120, "the job has ended")
    return found


def said(client: openai.OpenAI, model: str) -> ChatCompletion:
    """What a model says, at the default temperature. A tiny model may end its turn with the very first token."""
    answer = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "My parcel has not arrived."}], max_tokens=8
    )
    assert answer.usage
    assert answer.usage.completion_tokens
    return answer


def test_a_file_becomes_a_model_that_answers(client: openai.OpenAI, api: httpx.Client) -> None:
    file = client.files.create(file=("train.jsonl", TICKETS.read_bytes()), purpose="fine-tune")
    client.files.wait_for_processing(file.id)
    job = client.fine_tuning.jobs.create(
        model=MODEL, training_file=file.id, suffix="openai", seed=3, metadata={"team": "support"}, method=METHOD
    )
    assert job.id in [found.id for found in client.fine_tuning.jobs.list(metadata={"team": "support"})]
    done = ended(client, job)
    assert (done.status, done.seed, done.metadata) == ("succeeded", 3, {"team": "support"})
    assert done.trained_tokens
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))
    losses = [event.data["train_loss"] for event in events if event.type == "metrics"]  # type: ignore[index]
    assert len(losses) > 5
    assert losses[0] < losses[-1]
    assert events[-1].message.startswith("Created")
    [results] = done.result_files
    assert client.files.content(results).text.startswith("step,train_loss")
    Customer(api).deploy(job.id)
    assert done.fine_tuned_model
    assert said(client, done.fine_tuned_model).model == done.fine_tuned_model
    assert client.models.retrieve(done.fine_tuned_model).owned_by == done.organization_id


def test_a_checkpoint_becomes_a_model_that_answers_under_its_own_name(
    client: openai.OpenAI, api: httpx.Client, completed: dict[str, Any]
) -> None:
    customer = Customer(api)
    checkpoint = client.fine_tuning.jobs.checkpoints.list(completed["id"]).data[-1]
    source = {"type": "checkpoint", "checkpoint": checkpoint.id}
    begun = customer.call("POST", "/v2/training/models/import", json={"name": "early", "source": source})

    def imported() -> dict[str, Any] | None:
        found = customer.call("GET", f"/v2/training/models/import/{begun['id']}")
        assert found["status"] != "failed", found
        return found if found["status"] == "completed" else None

    made = wait_for(imported, 120, "the checkpoint is a model")
    deploying = customer.call("POST", f"/v2/training/models/{made['modelId']}/deploy", json={})["deployment"]["id"]

    def active() -> bool:
        found = customer.call("GET", f"/v2/training/deployments/{deploying}")
        assert found["status"] in ("deploying", "active"), found
        return bool(found["status"] == "active")

    wait_for(active, 120, "it is deployed")
    name = checkpoint.fine_tuned_model_checkpoint
    assert said(client, name).model == name


def test_a_job_is_cancelled_while_it_runs(client: openai.OpenAI) -> None:
    file = client.files.create(file=("train.jsonl", TICKETS.read_bytes()), purpose="fine-tune")
    job = client.fine_tuning.jobs.create(model=MODEL, training_file=file.id, hyperparameters={"n_epochs": 50})
    wait_for(lambda: client.fine_tuning.jobs.retrieve(job.id).status == "running", 60, "the job runs")
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    done = ended(client, job)
    assert (done.status, done.fine_tuned_model, done.error) == ("cancelled", None, None)
    assert client.fine_tuning.jobs.list_events(job.id).data[0].message == "The job was cancelled."
