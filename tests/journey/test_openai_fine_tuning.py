"""The whole of OpenAI's fine-tuning contract with its unmodified client: a file becomes a model that answers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion
from openai.types.fine_tuning import FineTuningJob

from infra.local.options import REPOSITORY
from tests.journey.customer import JOBS, TICKETS, Customer
from tests.journey.local_cloud import ENVIRONMENT, MODEL, LocalCloud, wait_for

HYPERPARAMETERS: Any = {"n_epochs": 1, "batch_size": 8, "learning_rate_multiplier": 10.0}
PROGRAM = Path(__file__).with_name("openai_customer.py")
# Interpreters with the client that people have, and with the newest.
OLDER, NEWER = str(REPOSITORY / ".venv-openai2" / "bin" / "python"), sys.executable
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


@pytest.mark.parametrize(
    ("python", "options"),
    [(OLDER, ["--strict"]), (OLDER, ["--async"]), (NEWER, ["--strict", "--async"])],
    ids=["version 2, strict", "version 2, async", "version 3, strict and async"],
)
def test_every_version_of_the_client_goes_the_whole_way(
    cloud: LocalCloud, completed: dict[str, Any], python: str, options: list[str]
) -> None:
    url, key = (cloud.environment[name] for name in ("LUTHIER_BASE_URL", "LUTHIER_API_KEY"))
    environment = ENVIRONMENT | {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": key}
    command = [python, str(PROGRAM), "--model", MODEL, "--data", str(TICKETS), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["version"].startswith("2." if python == OLDER else "3.")
    assert (seen["file"], seen["status"], seen["cancelled"]) == ("processed", "succeeded", "cancelled")
    assert seen["events"] == seen["distinct_events"] > 10
    assert all(name.startswith(seen["fine_tuned_model"]) for name in seen["checkpoints"])
    assert seen["checkpoints"]
    assert seen["results"].startswith("step,train_loss")
    assert (seen["answered_by"], seen["tokens"] > 0) == (seen["fine_tuned_model"], True)


def test_a_run_is_made_again_from_its_signed_manifest(api: httpx.Client, completed: dict[str, Any]) -> None:
    customer = Customer(api)
    signed = customer.call("GET", f"/v1/fine_tuning/jobs/{completed['id']}/manifest")
    given = {name: signed[name] for name in ("manifest", "signature")}
    forged = given | {"manifest": given["manifest"] | {"suffix": "other"}}
    refused = api.post(f"/v1/fine_tuning/jobs/{completed['id']}/rerun", json=forged)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_signature")
    again = customer.call("POST", f"/v1/fine_tuning/jobs/{completed['id']}/rerun", json=given)
    done = customer.wait_for_status(again["id"], "completed")
    first, second = (
        customer.call("GET", f"{JOBS}/{job['id']}/metrics")["metrics"]["steps"] for job in (completed, done)
    )
    assert [step["trainingLoss"] for step in first] == [step["trainingLoss"] for step in second]


def test_files_are_mixed_by_weight_and_bad_lines_tolerated(api: httpx.Client) -> None:
    customer, rows = Customer(api), TICKETS.read_bytes().splitlines(keepends=True)

    def uploaded(content: bytes) -> str:
        files = {"file": ("part.jsonl", content, "application/jsonl")}
        return str(customer.call("POST", "/v1/files", files=files, data={"purpose": "fine-tune"})["id"])

    weighted = {"file_id": uploaded(b"".join(rows[:60]) + b"not json\n"), "weight": 2}
    wish = {
        "model": MODEL,
        "training_files": [weighted, {"file_id": uploaded(b"".join(rows[60:90]))}],
        "invalid_sample_skip_percentage": 0.05,
        "hyperparameters": {"n_epochs": 1, "batch_size": 10},
    }
    made = customer.call("POST", "/v1/fine_tuning/jobs", json=wish)
    done = customer.wait_for_status(made["id"], "completed")
    # 150 rows, of which some are held out.
    assert 12 <= done["progress"]["totalSteps"] <= 15, done
