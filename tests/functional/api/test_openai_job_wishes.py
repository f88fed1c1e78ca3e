"""What OpenAI's jobs may wish for besides: several files with weights, tolerated bad lines, a run for W&B."""

import json
from typing import Any

import openai
import pytest

from tests.factories import BASE_MODEL, principal, rows
from tests.functional.api.test_openai_client import client_of
from tests.functional.api.test_openai_fine_tuning import JOBS, METRICS, complete, create, of_attempt
from tests.gateway import Gateway


@pytest.fixture
def client(api: Gateway) -> openai.OpenAI:
    return client_of(api)


@pytest.fixture
def file(client: openai.OpenAI) -> str:
    return client.files.create(file=("train.jsonl", rows(60)), purpose="fine-tune").id


def upload(client: openai.OpenAI, content: bytes, name: str = "train.jsonl") -> str:
    return client.files.create(file=(name, content), purpose="fine-tune").id


def job_body(**fields: Any) -> dict[str, Any]:
    return {"model": BASE_MODEL, **fields}


def test_several_files_are_trained_on_each_as_often_as_it_weighs(api: Gateway, client: openai.OpenAI) -> None:
    first, second = upload(client, rows(60)), upload(client, rows(20), "more.jsonl")
    files = [{"file_id": first}, {"file_id": second, "weight": 1.5}]
    made = api.post(JOBS, job_body(training_files=files)).json()
    assert made["training_file"] == first
    assert made["training_files"] == [{"file_id": first, "weight": 1.0}, {"file_id": second, "weight": 1.5}]
    stored = api.platform.job_store.get("org_a", made["id"])
    assert stored
    api.platform.launch(stored)
    settings = json.loads(of_attempt(api, stored, "config/job.json"))
    assert settings["data"] == {"weights": {"train-02.jsonl": 1.5}, "invalid_share": 0.0}
    assert of_attempt(api, stored, "train/train-02.jsonl") == rows(20)
    alone = api.post(JOBS, job_body(training_file=first)).json()
    assert made["estimate"]["tokens"] == pytest.approx(alone["estimate"]["tokens"] * 90 / 60, rel=0.1)
    assert alone["training_files"] is None
    api.platform.complete(stored)
    model = api.platform.models.of_job(stored)
    assert model
    assert [read["file_id"] for read in model.datasets if read["role"] == "train"] == [first, second]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "training_file"),
        ({"training_file": "first", "training_files": [{"file_id": "first"}]}, "training_file"),
        ({"training_files": []}, "training_files"),
        ({"training_files": [{"file_id": "first"}, {"file_id": "first"}]}, "training_files[1].file_id"),
        ({"training_files": [{"file_id": "first"}, {"file_id": "file-unknown"}]}, "training_files[1].file_id"),
        ({"training_files": [{"file_id": "file-unknown", "weight": 2}]}, "training_files[0].file_id"),
        ({"training_files": [{"file_id": "first", "weight": 0}]}, "training_files[0].weight"),
        ({"training_files": [{"file_id": "first"}, {"file_id": "text"}]}, "training_files[1].file_id"),
        ({"training_file": "first", "invalid_sample_skip_percentage": 0.6}, "invalid_sample_skip_percentage"),
    ],
)
def test_a_bad_mixture_is_refused_by_the_name_of_its_field(
    api: Gateway, client: openai.OpenAI, fields: dict[str, Any], param: str
) -> None:
    known = {"first": upload(client, rows(60)), "text": upload(client, b'{"text": "Once upon a time."}\n' * 60)}
    named = json.loads(json.dumps(fields))
    for place in (named, *named.get("training_files", [])):
        for name in ("training_file", "file_id"):
            if name in place:
                place[name] = known.get(place[name], place[name])
    refused = api.post(JOBS, job_body(**named))
    assert refused.status == 400, refused.text
    assert refused.json()["error"]["param"] == param


def test_a_share_of_bad_lines_may_be_tolerated(api: Gateway, client: openai.OpenAI) -> None:
    bad = upload(client, rows(57) + b"not json\n" * 3)
    assert client.files.retrieve(bad).status == "error"
    body = job_body(training_file=bad)
    for share in (0, 0.04):
        refused = api.post(JOBS, body | {"invalid_sample_skip_percentage": share})
        assert (refused.status, refused.json()["error"]["param"]) == (400, "training_file")
    made = api.post(JOBS, body | {"invalid_sample_skip_percentage": 0.05}).json()
    assert made["invalid_sample_skip_percentage"] == 0.05
    stored = api.platform.job_store.get("org_a", made["id"])
    assert stored
    api.platform.launch(stored)
    assert json.loads(of_attempt(api, stored, "config/job.json"))["data"]["invalid_share"] == 0.05


def test_no_share_makes_up_for_a_file_without_a_good_row(api: Gateway, client: openai.OpenAI) -> None:
    nothing = upload(client, b"not json\n" * 3)
    refused = api.post(JOBS, job_body(training_file=nothing, invalid_sample_skip_percentage=0.5))
    assert (refused.status, refused.json()["error"]["param"]) == (400, "training_file")


def test_a_run_of_weights_and_biases_is_among_the_result_files(api: Gateway, client: openai.OpenAI, file: str) -> None:
    wish: Any = {"type": "wandb", "wandb": {"project": "tickets", "tags": ["a"]}}
    job = create(client, file, integrations=[wish])
    assert job.integrations
    assert job.integrations[0].wandb.to_dict() == {"project": "tickets", "name": None, "entity": None, "tags": ["a"]}
    stored = api.platform.fresh_by_id(job.id)
    api.platform.launch(stored)
    assert json.loads(of_attempt(api, stored, "config/job.json"))["wandb"]["project"] == "tickets"
    api.platform.put_artifact(f"org_a/jobs/{job.id}/checkpoints/1/wandb.tar.gz", "packed")
    api.platform.write_metrics(stored, *METRICS)
    api.platform.complete(api.platform.fresh(stored))
    results, wandb = client.fine_tuning.jobs.retrieve(job.id).result_files
    kept = client.files.retrieve(wandb)
    assert (kept.filename, kept.purpose, kept.bytes) == (f"{job.id}_wandb.tar.gz", "fine-tune-results", 6)
    assert client.files.content(results).text.startswith("step")
    # Bytes are no text: their address is answered.
    assert api.get(f"/v1/files/{wandb}/content").status == 302


def test_a_run_that_left_nothing_for_weights_and_biases_has_its_results_all_the_same(
    api: Gateway, client: openai.OpenAI, file: str
) -> None:
    wish: Any = {"type": "wandb", "wandb": {"project": "tickets"}}
    job = create(client, file, integrations=[wish])
    api.platform.write_metrics(api.platform.fresh_by_id(job.id), *METRICS)
    complete(api, job.id)
    assert len(client.fine_tuning.jobs.retrieve(job.id).result_files) == 1


@pytest.mark.parametrize(
    ("integrations", "param"),
    [
        ([{"type": "mlflow"}], "integrations[0].type"),
        ([{"type": "wandb"}], "integrations[0].wandb"),
        ([{"type": "wandb", "wandb": {"project": ""}}], "integrations[0].wandb.project"),
        ([{"type": "wandb", "wandb": {"project": "a"}}] * 2, "integrations"),
    ],
)
def test_a_bad_integration_is_refused_by_the_name_of_its_field(
    api: Gateway, file: str, integrations: Any, param: str
) -> None:
    refused = api.post(JOBS, job_body(training_file=file, integrations=integrations))
    assert refused.status == 400
    assert refused.json()["error"]["param"] == param


def test_a_job_goes_on_from_the_model_that_an_alias_leads_to(api: Gateway, client: openai.OpenAI, file: str) -> None:
    old = "ft:gpt-4o-mini-2024-07-18:acme:support:abc123"
    model = api.platform.completed(suffix="v1").result_model or ""
    deployed = api.platform.deployed(principal(), model)
    assert api.send("PUT", f"/v2/training/aliases/{old}", {"routes": [{"deploymentId": deployed.id}]}).status == 200
    job = client.fine_tuning.jobs.create(model=old, training_file=file)
    stored = api.platform.fresh_by_id(job.id)
    assert stored.start_from
    assert stored.start_from["model"] == model
