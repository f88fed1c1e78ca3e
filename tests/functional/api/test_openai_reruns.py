"""A run made again from what determined it, which the platform has signed."""

import json
from dataclasses import replace
from typing import Any

import pytest

from luthier.jobs.entity import Job
from tests.factories import BASE_MODEL, principal, rows
from tests.functional.api.test_openai_fine_tuning import JOBS, of_attempt
from tests.gateway import Answer, Gateway

WISH = {"model": BASE_MODEL, "suffix": "mine", "seed": 7, "metadata": {"team": "a"}, "cost": {"cap": 50}}


@pytest.fixture(autouse=True)
def _key(api: Gateway) -> None:
    kms = api.platform.kms
    key = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=api.platform.settings.manifest_key_id, TargetKeyId=key)


@pytest.fixture
def job(api: Gateway) -> Job:
    """A job of two files, one held out, and wishes of its own; it has ended."""
    ids = [api.platform.dataset(principal(), content=rows(count)).id for count in (60, 20, 4)]
    hyperparameters = {"n_epochs": 2, "learning_rate_multiplier": 0.5}
    files = [{"file_id": ids[0], "weight": 0.5}, {"file_id": ids[1]}]
    wish = WISH | {"training_files": files, "validation_file": ids[2], "hyperparameters": hyperparameters}
    made = api.post(JOBS, wish).json()
    stored = api.platform.job_store.get("org_a", made["id"])
    assert stored
    api.platform.launch(stored)
    api.platform.complete(api.platform.fresh(stored))
    return api.platform.fresh(stored)


def rerun(api: Gateway, job: Job, body: Any = None, **more: Any) -> Answer:
    return api.post(f"{JOBS}/{job.id}/rerun", body, **more)


def signed(api: Gateway, job: Job) -> dict[str, Any]:
    answer = api.get(f"{JOBS}/{job.id}/manifest").json()
    return {name: answer[name] for name in ("manifest", "signature")}


def config(api: Gateway, job: Job) -> dict[str, Any]:
    return dict(json.loads(of_attempt(api, job, "config/job.json")))


def test_a_manifest_says_what_determines_the_run(api: Gateway, job: Job) -> None:
    answer = api.get(f"{JOBS}/{job.id}/manifest").json()
    assert (answer["object"], answer["algorithm"]) == ("fine_tuning.job.manifest", "HMAC_SHA_256")
    manifest = answer["manifest"]
    assert (manifest["job_id"], manifest["base_model"]["id"], manifest["suffix"]) == (job.id, BASE_MODEL, "mine")
    assert [file["weight"] for file in manifest["training_files"]] == [0.5, 1]
    for file in (*manifest["training_files"], manifest["validation_file"]):
        assert file["sha256"] == api.platform.datasets.get(principal(), file["file_id"]).sha256
    assert manifest["hyperparameters"] == job.hyperparameters


@pytest.mark.parametrize("given", [False, True], ids=["as the job has it", "as it was signed"])
def test_a_rerun_is_told_the_same_in_all_that_matters(api: Gateway, job: Job, given: bool) -> None:
    # As a client in JavaScript sends it back.
    body = json.loads(json.dumps(signed(api, job)).replace(".0,", ",")) if given else None
    made = rerun(api, job, body).json()
    again = api.platform.job_store.get("org_a", made["id"])
    assert again
    assert (again.id != job.id, again.status, again.metadata) == (True, "queued", {"team": "a"})
    assert again.cost["cap"] == 50
    api.platform.launch(again)
    told, before = config(api, again), config(api, job)
    for settings in (told, before):
        settings.pop("job_id")
        settings.pop("limits")
    assert told == before
    for read, channel in job.reads:
        path = f"{channel}/{read.name}"
        assert of_attempt(api, again, path) == of_attempt(api, job, path)


def test_a_manifest_that_was_changed_or_signed_elsewhere_makes_nothing(api: Gateway, job: Job) -> None:
    body = signed(api, job)
    changed = body | {"manifest": body["manifest"] | {"suffix": "other"}}
    for wrong in (changed, body | {"signature": "AAAA"}, body | {"signature": "no base64 ü"}):
        refused = rerun(api, job, wrong)
        assert (refused.status, refused.json()["error"]["code"]) == (400, "invalid_signature")
    assert rerun(api, job, {"manifest": {}}).json()["error"]["param"] == "signature"
    other = api.platform.completed(suffix="other")
    refused = rerun(api, other, body)
    assert (refused.status, refused.json()["error"]["param"]) == (400, "manifest")
    assert len(api.get(JOBS).json()["data"]) == 2


def test_a_run_whose_files_changed_or_are_gone_is_not_made_again(api: Gateway, job: Job) -> None:
    file = api.platform.datasets.get(principal(), job.training_dataset)
    store = api.platform.datasets._store
    store.revise(file, replace(file, sha256="0" * 64))
    refused = rerun(api, job)
    assert (refused.status, refused.json()["error"]["code"]) == (409, "input_changed")
    assert "training_files" in refused.json()["error"]["message"]
    api.platform.datasets.delete(principal(), file.id)
    refused = rerun(api, job)
    assert (refused.status, refused.json()["error"]["param"]) == (400, "training_files[0].file_id")
    assert len(api.get(JOBS).json()["data"]) == 1


def test_a_rerun_that_is_sent_twice_is_one_job(api: Gateway, job: Job) -> None:
    key = {"Idempotency-Key": "again"}
    first, second = (rerun(api, job, headers=key).json()["id"] for _ in range(2))
    assert first == second


def test_nobody_reruns_the_job_of_another_organization(api: Gateway, job: Job) -> None:
    theirs = api.caller("admin", organization_id="org_b")
    for answer in (theirs.get(f"{JOBS}/{job.id}/manifest"), rerun(theirs, job)):
        assert answer.status == 404
