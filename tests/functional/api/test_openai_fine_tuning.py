"""OpenAI's fine-tuning contract through its own client, strict about every field it knows."""

import csv
import io
import json
import random
from typing import Any

import openai
import pytest
from openai.types.fine_tuning import FineTuningJob

from luthier.jobs.entity import Job
from tests.factories import BASE_MODEL, rows
from tests.functional.api.test_openai_client import client_of
from tests.functional.imports import world as imports
from tests.gateway import Gateway

JOBS = "/v1/fine_tuning/jobs"


@pytest.fixture
def client(api: Gateway) -> openai.OpenAI:
    return client_of(api)


@pytest.fixture
def file(client: openai.OpenAI) -> str:
    return client.files.create(file=("train.jsonl", rows(60)), purpose="fine-tune").id


def create(client: openai.OpenAI, file: str, **more: Any) -> FineTuningJob:
    return client.fine_tuning.jobs.create(model=BASE_MODEL, training_file=file, **more)


def complete(api: Gateway, job_id: str) -> None:
    job = api.platform.job_store.get("org_a", job_id)
    assert job is not None
    api.platform.launch(job)
    api.platform.complete(job)


def of_attempt(api: Gateway, job: Job, path: str) -> bytes:
    """An object that the container of the job's first attempt reads."""
    key = f"org_a/jobs/{job.id}/1/{path}"
    return bytes(api.platform.s3.get_object(Bucket="luthier-data", Key=key)["Body"].read())


def test_a_job_is_created_with_the_documented_defaults(client: openai.OpenAI, file: str) -> None:
    job = create(client, file)
    assert (job.object, job.status, job.model, job.training_file) == ("fine_tuning.job", "queued", BASE_MODEL, file)
    assert job.hyperparameters.n_epochs == 3
    assert job.hyperparameters.batch_size == 4
    assert job.method
    assert job.method.type == "supervised"
    assert (job.fine_tuned_model, job.finished_at, job.error, job.result_files) == (None, None, None, [])
    assert (job.validation_file, job.trained_tokens, job.estimated_finish, job.integrations) == (None, None, None, [])
    assert client.fine_tuning.jobs.retrieve(job.id) == job


def test_every_wish_arrives(api: Gateway, client: openai.OpenAI, file: str) -> None:
    held_out = client.files.create(file=("validation.jsonl", rows(4)), purpose="fine-tune").id
    asked = {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": 0.5}
    method: Any = {"type": "supervised", "supervised": {"hyperparameters": asked}}
    job = create(
        client, file, validation_file=held_out, suffix="mine", seed=7, metadata={"team": "a"}, method=method,
        integrations=None, extra_body={"cost": {"cap": 50}},
    )  # fmt: skip
    assert (job.validation_file, job.seed, job.metadata) == (held_out, 7, {"team": "a"})
    assert (job.hyperparameters.n_epochs, job.hyperparameters.learning_rate_multiplier) == (2, 0.5)
    stored = api.platform.job_store.get("org_a", job.id)
    assert stored
    assert stored.hyperparameters["learning_rate"] == pytest.approx(1.5e-4)
    assert stored.cost["cap"] == 50
    assert job.to_dict()["cost"]["cap"] == 50  # type: ignore[index]


def test_the_older_place_of_hyperparameters_means_the_same(client: openai.OpenAI, file: str) -> None:
    assert create(client, file, hyperparameters={"n_epochs": 5}).hyperparameters.n_epochs == 5


def test_preferences_are_trained_on_with_their_beta(client: openai.OpenAI) -> None:
    row = json.dumps({"prompt": "Hello", "chosen": "Good day", "rejected": "No"})
    content = "\n".join([row] * 40).encode()
    pairs = client.files.create(file=("pairs.jsonl", content), purpose="fine-tune").id
    method: Any = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": "auto"}}}
    job = create(client, pairs, method=method)
    assert job.method
    assert job.method.dpo
    assert job.method.dpo.hyperparameters
    assert job.method.dpo.hyperparameters.beta == 0.2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 99}}}}, "method.dpo.hyperparameters.beta"),
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"method": {"type": "dpo", "supervised": {}}}, "method.supervised"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"n_epochs": "many"}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"epochs": 3}}, "hyperparameters.epochs"),
        ({"training_file": "file-none"}, "training_file"),
        ({"validation_file": "file-none"}, "validation_file"),
        ({"model": "gpt-4o-mini"}, "model"),
        ({"suffix": "x" * 65}, "suffix"),
        ({"metadata": {"k" * 65: "v"}}, None),
        ({"metadata": {"k": "v" * 513}}, "metadata.k"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(api: Gateway, file: str, body: dict[str, Any], param: str | None) -> None:
    refused = api.post(JOBS, {"model": BASE_MODEL, "training_file": file} | body)
    error = refused.json()["error"]
    assert (refused.status, error["type"]) == (400, "invalid_request_error"), refused.text
    assert param is None or error["param"] == param
    assert api.get(JOBS).json()["data"] == []


def test_jobs_are_paged_by_the_last_id_and_found_by_their_metadata(client: openai.OpenAI, file: str) -> None:
    ids = [create(client, file, metadata={"n": str(n % 2)}).id for n in range(5)]
    assert [job.id for job in client.fine_tuning.jobs.list(limit=2)] == ids[::-1]
    first = client.fine_tuning.jobs.list(limit=2)
    assert (first.has_more, [job.id for job in first.data]) == (True, ids[:2:-1])
    odd = client.fine_tuning.jobs.list(limit=1, metadata={"n": "1"})
    assert [job.id for job in odd] == [ids[3], ids[1]]
    assert list(client.fine_tuning.jobs.list(metadata={"n": "7"})) == []
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.list(after="nothing")
    assert refused.value.param == "after"


def test_a_completed_job_names_its_model_its_results_and_what_has_happened(
    api: Gateway, client: openai.OpenAI, file: str
) -> None:
    job = create(client, file, suffix="mine")
    api.platform.write_metrics(api.platform.fresh_by_id(job.id), *METRICS)
    complete(api, job.id)
    done = client.fine_tuning.jobs.retrieve(job.id)
    assert done.status == "succeeded"
    assert done.finished_at
    assert done.fine_tuned_model == f"ft:{BASE_MODEL}:org_a:mine:{job.id[-8:]}"
    assert client.models.retrieve(done.fine_tuned_model).to_dict()["job_id"] == job.id
    [results] = done.result_files
    assert client.files.retrieve(results).purpose == "fine-tune-results"
    table = list(csv.DictReader(io.StringIO(client.files.content(results).text)))
    assert [row["step"] for row in table] == ["1", "2"]
    assert table[1]["full_valid_loss"] == "1.75"
    events = list(client.fine_tuning.jobs.list_events(job.id, limit=2))
    assert [event.message for event in events][:2] == [
        "The job has successfully completed.",
        f"New fine-tuned model created: {BASE_MODEL}-mine",
    ]
    assert events[-1].message == f"Created fine-tuning job: {job.id}"
    assert len({event.id for event in events}) == len(events)
    [second, first] = [event for event in events if event.type == "metrics"]
    assert first.data == {"step": 1, "total_steps": 2, "train_loss": 2.5}
    assert second.message == "Step 2/2: training loss=1.5000, validation loss=1.7500"


WHOLE = ("adapter_config.json", "adapter_model.safetensors", "complete.json")
METRICS = [
    {"time": "2026-01-01T00:00:01Z", "step": 1, "total_steps": 2, "training_loss": 2.5, "validation_loss": None},
    {"time": "2026-01-01T00:00:02Z", "step": 2, "total_steps": 2, "training_loss": 1.5, "validation_loss": 1.75},
]


def test_a_retry_finds_what_its_first_try_made_but_no_job_that_has_ended_since(
    api: Gateway, client: openai.OpenAI, file: str
) -> None:
    again = {"extra_headers": {"x-stainless-retry-count": "1"}}
    first = create(client, file)
    assert create(client, file, **again).id == first.id
    client.fine_tuning.jobs.cancel(first.id)
    second = create(client, file, **again)
    assert (second.status, second.id == first.id) == ("queued", False)
    assert create(client, file, **again).id == second.id


def test_a_job_at_its_cap_goes_on_with_a_higher_one(api: Gateway, client: openai.OpenAI, file: str) -> None:
    job = create(client, file, extra_body={"cost": {"cap": 5}})
    client.fine_tuning.jobs.pause(job.id)
    refused = api.post(f"{JOBS}/{job.id}/resume", {"cost": {"cap": 0.01}})
    assert (refused.status, refused.json()["error"]["param"]) == (400, "cost.cap")
    raised = api.post(f"{JOBS}/{job.id}/resume", {"cost": {"cap": 9}}).json()
    assert (raised["status"], raised["cost"]["cap"]) == ("queued", 9)


def test_jobs_without_metadata_are_listed_by_null(api: Gateway, client: openai.OpenAI, file: str) -> None:
    plain = create(client, file)
    create(client, file, metadata={"team": "a"}, seed=2)
    assert [job["id"] for job in api.get(f"{JOBS}?metadata=null").json()["data"]] == [plain.id]
    refused = api.get(f"{JOBS}?metadata=team")
    assert (refused.status, refused.json()["error"]["param"]) == (400, "metadata")


def test_a_job_is_paused_resumed_and_cancelled(api: Gateway, client: openai.OpenAI, file: str) -> None:
    job = create(client, file)
    # OpenAI's own types do not know a status for a pause.
    paused = client.fine_tuning.jobs.pause(job.id)
    assert (paused.status, paused.to_dict()["status_reason"]["code"]) == ("queued", "paused_by_user")  # type: ignore[index]
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        client.fine_tuning.jobs.resume(job.id)


def test_a_job_that_does_not_start_by_itself_is_priced_and_waits(
    api: Gateway, client: openai.OpenAI, file: str
) -> None:
    job = create(client, file, extra_body={"auto_start": False})
    told = job.to_dict()
    assert (job.status, told["status_reason"]["code"]) == ("queued", "awaiting_start")  # type: ignore[index]
    estimate: Any = told["estimate"]
    assert (estimate["available"], estimate["cost"] > 0, estimate["tokens"] > 0, estimate["seconds"] > 0) == (True,) * 4
    assert api.platform.states.started == []
    assert api.platform.job_store.counts("org_a").by_status == {"paused": 1}
    assert list(api.platform.job_store.live()) == []
    started = api.post(f"{JOBS}/{job.id}/start").json()
    assert (started["status"], started["status_reason"]) == ("queued", None)
    assert api.post(f"{JOBS}/{job.id}/start").json()["id"] == job.id
    assert len(api.platform.states.started) == 1
    complete(api, job.id)
    assert client.fine_tuning.jobs.retrieve(job.id).status == "succeeded"
    refused = api.post(f"{JOBS}/{job.id}/start")
    assert refused.status == 409


def test_a_priced_job_that_nobody_wants_is_cancelled(api: Gateway, client: openai.OpenAI, file: str) -> None:
    job = create(client, file, extra_body={"auto_start": False})
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    assert api.platform.states.started == []


def test_a_failed_job_says_why(api: Gateway, client: openai.OpenAI, file: str) -> None:
    failed = api.platform.failed()
    job = client.fine_tuning.jobs.retrieve(failed.id)
    assert job.status == "failed"
    assert job.error
    assert job.error.code
    assert client.fine_tuning.jobs.list_events(failed.id).data[0].level == "error"


def test_a_failed_job_is_tried_again_as_its_failure_suggests(api: Gateway) -> None:
    job = api.platform.launched()
    said = {"attempt": 1, "code": "nan_loss", "message": "NaN.", "hint": "Lower it."}
    said["suggestion"] = {"hyperparameters": {"learning_rate": 4e-5, "warmup_steps": 20}}
    api.platform.put_artifact(f"org_a/jobs/{job.id}/checkpoints/1/failure.json", json.dumps(said))
    api.platform.training_job(job, "Failed", FailureReason=f"AlgorithmError: {json.dumps(said)}, exit code: 1")
    api.platform.pipeline.settle(api.platform.step(job))
    again = api.post(f"{JOBS}/{job.id}/retry", {"apply_suggestion": True})
    assert (again.status, again.json()["status"]) == (200, "queued"), again.text
    stored = api.platform.fresh(job)
    assert (stored.hyperparameters["learning_rate"], stored.hyperparameters["warmup_steps"]) == (4e-5, 20)
    assert (stored.attempt, stored.series) == (2, 2)
    refused = api.post(f"{JOBS}/{job.id}/retry")
    assert (refused.status, refused.json()["error"]["type"]) == (409, "conflict_error")


def test_a_failure_that_suggests_nothing_is_tried_again_as_it_was(api: Gateway) -> None:
    failed = api.platform.failed()
    refused = api.post(f"{JOBS}/{failed.id}/retry", {"apply_suggestion": True})
    assert (refused.status, refused.json()["error"]["param"]) == (409, "apply_suggestion")
    assert api.post(f"{JOBS}/{failed.id}/retry").status == 200
    assert api.platform.fresh(failed).series == 1


def test_whole_checkpoints_are_listed_and_become_models_under_their_names(
    api: Gateway, client: openai.OpenAI, file: str
) -> None:
    job = create(client, file, suffix="mine")
    api.platform.write_metrics(api.platform.fresh_by_id(job.id), *METRICS)
    for step, names in ((1, WHOLE), (2, WHOLE), (3, WHOLE[:-1])):
        for name in names:
            api.platform.put_artifact(f"org_a/jobs/{job.id}/checkpoints/1/checkpoint-{step}/{name}", "x")
    complete(api, job.id)
    [newest, first] = client.fine_tuning.jobs.checkpoints.list(job.id, limit=1)
    assert (newest.step_number, newest.metrics.train_loss, newest.metrics.full_valid_loss) == (2, 1.5, 1.75)
    name = f"ft:{BASE_MODEL}:org_a:mine:{job.id[-8:]}:ckpt-step-1"
    assert (first.fine_tuned_model_checkpoint, first.fine_tuning_job_id) == (name, job.id)
    unmade = api.post(f"/v2/training/models/{name}/deploy", {})
    assert (unmade.status, "source.type checkpoint" in unmade.text) == (404, True)
    for reference, called in ((name, "early"), (first.id, "early-again")):
        begun = imports.begin(api, {"type": "checkpoint", "checkpoint": reference}, name=called, baseModel=None)
        assert (begun["status"], begun["baseModel"]) == ("checking", BASE_MODEL)
        assert imports.adopted(api, begun["id"])["status"] == "completed"
    # The first model has the name of the checkpoint besides its own.
    made = api.platform.models.find("org_a", name)
    assert made
    assert made.names == ["early", name]
    assert client.models.retrieve(name).to_dict()["model_id"] == made.id


@pytest.mark.parametrize(
    ("source", "status", "field"),
    [
        ({"type": "checkpoint"}, 400, "source.checkpoint"),
        ({"type": "checkpoint", "checkpoint": "ftckpt_none_1"}, 404, "source.checkpoint"),
        ({"type": "checkpoint", "checkpoint": "nothing"}, 404, "source.checkpoint"),
        ({"type": "checkpoint", "checkpoint": "ftckpt_none_1", "uri": "s3://a/b"}, 400, "source.uri"),
        ({"type": "s3", "uri": "s3://a/b", "checkpoint": "ftckpt_none_1"}, 400, "source.checkpoint"),
    ],
)
def test_a_checkpoint_that_cannot_be_made_a_model_of(
    api: Gateway, source: dict[str, Any], status: int, field: str
) -> None:
    refused = api.post(imports.IMPORTS, imports.body(source))
    assert (refused.status, field in refused.text) == (status, True), refused.text


def test_a_repeated_create_of_the_client_makes_one_job(api: Gateway, file: str) -> None:
    body = {"model": BASE_MODEL, "training_file": file}
    first, again = (
        api.post(JOBS, body, headers={"x-stainless-retry-count": count}).json()["id"] for count in ("0", "1")
    )
    assert first == again
    assert len(api.platform.states.started) == 1


def test_another_organization_sees_nothing(api: Gateway, client: openai.OpenAI, file: str) -> None:
    job = create(client, file)
    other = api.caller("admin", organization_id="org_b")
    for method, path in (("GET", ""), ("POST", "/cancel"), ("GET", "/events")):
        assert other.send(method, f"{JOBS}/{job.id}{path}").status == 404
    assert other.get(JOBS).json()["data"] == []


@pytest.mark.parametrize("seed", range(3))
def test_pages_neither_skip_nor_repeat_while_jobs_are_created(client: openai.OpenAI, file: str, seed: int) -> None:
    chance = random.Random(seed)
    before = [create(client, file).id for _ in range(chance.randint(4, 9))]
    created, seen, after = list(before), list[str](), openai.omit
    while True:
        created += [create(client, file).id for _ in range(chance.randint(0, 2))]
        page = client.fine_tuning.jobs.list(limit=chance.randint(1, 3), after=after)
        seen += [job.id for job in page.data]
        if not page.has_more:
            break
        after = page.data[-1].id
    assert len(seen) == len(set(seen))
    assert [job for job in seen if job in before] == before[::-1]
    assert set(seen) <= set(created)
