"""The fine_tuning surface over the real services."""

from typing import Any

import pytest

from luthier.jobs.hyperparameters import HYPERPARAMETERS
from tests.factories import BASE_MODEL, metrics_line, principal
from tests.gateway import Gateway

ROOT = "/api/v1/fine-tuning"
JOBS = f"{ROOT}/jobs"


def request(api: Gateway, **more: Any) -> dict[str, Any]:
    """A good request; it uploads a dataset unless it is given one."""
    dataset = more.get("trainingDataset") or api.platform.dataset().id
    return {"name": "Tickets", "baseModel": BASE_MODEL, "trainingDataset": dataset} | more


def test_a_created_job_is_queued_and_its_pipeline_started(api: Gateway) -> None:
    created = api.post(JOBS, request(api, description="d", suffix="v1"))
    assert created.status == 201
    assert set(created.json()) == {"id", "name", "baseModel", "status", "createdAt"}
    assert [run["name"] for run in api.platform.states.started] == [created.json()["id"].replace("_", "-") + "-1"]


@pytest.mark.parametrize("spelled", ["id", "name", "path", "ds"])
def test_a_dataset_may_be_named_by_id_name_or_path(api: Gateway, spelled: str) -> None:
    dataset = api.platform.dataset()
    reference = {
        "id": dataset.id,
        "name": dataset.filename,
        "path": f"data/{dataset.filename}",
        "ds": dataset.id.replace("file-", "ds_"),
    }[spelled]
    created = api.post(JOBS, request(api, trainingDataset=reference))
    assert api.get(f"{JOBS}/{created.json()['id']}").json()["trainingDataset"] == dataset.id


def test_two_creates_with_one_idempotency_key_make_one_job(api: Gateway) -> None:
    body, headers = request(api), {"Idempotency-Key": "k1"}
    first, second = (api.post(JOBS, body, headers=headers) for _ in range(2))
    assert (first.status, second.status) == (201, 201)
    assert first.json() == second.json()
    assert api.get(JOBS).json()["count"] == 1
    other = api.post(JOBS, body | {"name": "Other"}, headers=headers)
    assert (other.status, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_a_client_that_retries_without_a_key_gets_its_first_job(api: Gateway) -> None:
    body = request(api)
    first = api.post(JOBS, body, headers={"x-stainless-retry-count": "0"})
    again = api.post(JOBS, body, headers={"x-stainless-retry-count": "1"})
    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("baseModel", "gpt-5", "baseModel"),
        ("baseModel", "", "baseModel"),
        ("name", "", "name"),
        ("name", None, "name"),
        ("trainingDataset", "file-none", "trainingDataset"),
        ("validationFile", "nowhere.jsonl", "validationFile"),
        ("hardware", "gpu-a100-80gb", "hardware"),
        ("hardware", "gpu-9", "hardware"),
        ("method", "magic", "method"),
        ("suffix", "a b", "suffix"),
        ("suffix", "x" * 65, "suffix"),
        ("hyperparameters", {"epochs": 0}, "hyperparameters.epochs"),
        ("hyperparameters", {"epochs": "3"}, "hyperparameters.epochs"),
        ("hyperparameters", {"learningrate": 1e-4}, "hyperparameters.learningrate"),
        ("hyperparameters", [1], "hyperparameters"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it_and_leaves_nothing_behind(
    api: Gateway, field: str, value: Any, param: str
) -> None:
    refused = api.post(JOBS, request(api) | {field: value})
    error = refused.json()["error"]
    assert (refused.status, error["details"]["param"]) == (400, param), error
    assert param.split(".")[-1] in error["message"]
    assert api.get(JOBS).json()["count"] == 0
    assert api.platform.states.started == []


def test_hardware_that_does_not_exist_is_told_what_fits(api: Gateway) -> None:
    error = api.post(JOBS, request(api, hardware="gpu-a100-80gb")).json()["error"]
    assert error["details"]["nearest"] in error["details"]["fits"]


def test_a_broken_dataset_names_every_bad_line(api: Gateway) -> None:
    content = b'{"prompt": "a", "completion": "b"}\n{"prompt": 1}\nnonsense\n'
    dataset = api.platform.dataset(content=content)
    refused = api.post(JOBS, request(api, trainingDataset=dataset.id))
    assert refused.status == 400
    assert {2, 3} <= {finding["line"] for finding in refused.json()["error"]["details"]["findings"]}


def test_every_hyperparameter_is_shown_with_what_the_job_will_use(api: Gateway) -> None:
    created = api.post(JOBS, request(api, hyperparameters={"epochs": 2, "loraRank": 4}))
    shown = api.get(f"{JOBS}/{created.json()['id']}").json()["hyperparameters"]
    assert list(shown) == [row.wire for row in HYPERPARAMETERS if "sft" in row.methods]
    assert (shown["epochs"], shown["loraRank"], shown["loraAlpha"]) == (2, 4, 8)


def test_lists_filter_search_sort_and_count(api: Gateway) -> None:
    for name in ("alpha", "beta", "gamma"):
        api.post(JOBS, request(api, name=name, description=f"about {name}"))
    page = api.get(f"{JOBS}?limit=2&offset=1&sort=name:asc").json()
    assert ([job["name"] for job in page["jobs"]], page["count"]) == (["beta", "gamma"], 3)
    assert (page["limit"], page["offset"]) == (2, 1)
    assert [job["name"] for job in api.get(f"{JOBS}?search=ABOUT+BETA").json()["jobs"]] == ["beta"]
    assert api.get(f"{JOBS}?status=running").json()["count"] == 0
    assert api.get(f"{JOBS}?status=queued&baseModel={BASE_MODEL}").json()["count"] == 3
    assert [job["name"] for job in api.get(JOBS).json()["jobs"]] == ["gamma", "beta", "alpha"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=x", "offset=-1", "sort=price:asc", "sort=name:up", "status=deployed", "page=1"],
)
def test_a_list_refuses_what_it_cannot_do_and_names_it(api: Gateway, query: str) -> None:
    refused = api.get(f"{JOBS}?{query}")
    assert (refused.status, refused.json()["error"]["details"]["param"]) == (400, query.split("=")[0])


def test_another_organization_sees_nothing(api: Gateway) -> None:
    job = api.platform.job()
    other = api.caller("admin", organization_id="org_b")
    assert other.get(JOBS).json()["count"] == 0
    for method, path in (
        ("GET", ""), ("DELETE", ""), ("POST", "/stop"), ("POST", "/restart"), ("POST", "/deploy"), ("GET", "/logs"),
        ("GET", "/metrics"),
    ):  # fmt: skip
        assert other.send(method, f"{JOBS}/{job.id}{path}").status == 404
    refused = other.post(JOBS, request(api))
    assert (refused.status, refused.json()["error"]["code"]) == (400, "dataset_not_found")


def test_a_running_job_cannot_be_deleted_nor_an_unfinished_one_deployed(api: Gateway) -> None:
    job = api.platform.launched()
    api.platform.watcher.metrics_written(api.platform.write_metrics(job, metrics_line(1)))
    refused = api.delete(f"{JOBS}/{job.id}")
    assert refused.status == 409
    assert refused.json()["error"]["details"]["current"] == "running"
    assert api.post(f"{JOBS}/{job.id}/deploy").status == 409
    assert api.post(f"{JOBS}/{job.id}/restart").status == 409


def test_a_stopped_job_restarts_from_its_checkpoint_or_from_scratch(api: Gateway) -> None:
    job = api.platform.failed()
    restarted = api.post(f"{JOBS}/{job.id}/restart")
    assert restarted.json() == {
        "id": job.id,
        "status": "queued",
        "message": "Fine-tuning job restarted successfully",
    }
    assert api.get(f"{JOBS}/{job.id}").json()["attempt"] == 2
    other = api.platform.failed()
    assert api.post(f"{JOBS}/{other.id}/restart?fromScratch=true").status == 200
    assert api.platform.fresh(other).series == 2


def test_a_failed_job_says_why_and_whether_it_can_resume(api: Gateway) -> None:
    shown = api.get(f"{JOBS}/{api.platform.failed().id}").json()
    assert (shown["status"], shown["error"]["code"], shown["statusReason"]["hint"]) == ("failed", "oom", "h")
    assert shown["resumable"]["value"] is False


def test_a_running_job_shows_progress_and_losses(api: Gateway) -> None:
    job = api.platform.launched()
    api.platform.watcher.metrics_written(api.platform.write_metrics(job, metrics_line(2), metrics_line(4)))
    shown = api.get(f"{JOBS}/{job.id}").json()
    assert (shown["status"], shown["phase"], shown["trainedTokens"]) == ("running", "training", 400)
    assert shown["metrics"] == {"trainingLoss": 0.5, "validationLoss": None, "epoch": 1}
    assert shown["progress"] == {"percent": 40.0, "step": 4, "totalSteps": 10, "secondsRemaining": 6.0}
    metrics = api.get(f"{JOBS}/{job.id}/metrics").json()["metrics"]
    assert [step["step"] for step in metrics["steps"]] == [2, 4]


def test_a_deployment_is_deployed_only_after_its_probe(api: Gateway) -> None:
    job = api.platform.completed(suffix="v1")
    first = api.post(f"{JOBS}/{job.id}/deploy").json()
    assert (first["status"], first["resultModel"]) == ("deploying", f"{BASE_MODEL}-v1")
    api.platform.deployed(principal(), job.result_model or "")
    again = api.post(f"{JOBS}/{job.id}/deploy").json()
    assert (again["status"], again["message"]) == ("deployed", "Fine-tuned model deployed successfully")


@pytest.mark.parametrize("query", ["since=yesterday", "lines=0", "lines=ten", "line=1"])
def test_logs_refuse_what_they_cannot_do(api: Gateway, query: str) -> None:
    assert api.get(f"{JOBS}/{api.platform.job().id}/logs?{query}").status == 400


def test_the_estimate_takes_any_known_base_model_and_hardware(api: Gateway) -> None:
    found = api.post(
        f"{ROOT}/estimate-cost", {"baseModel": "llama-3.1-8b", "datasetSize": 100, "hardware": "gpu-h100-80gb"}
    )
    assert (found.status, found.json()["hardware"]) == (200, "gpu-h100-80gb")
    for wrong in ({"baseModel": "x", "datasetSize": 1}, {"baseModel": "llama-3.1-8b", "datasetSize": 0}):
        assert api.post(f"{ROOT}/estimate-cost", wrong).status == 400
