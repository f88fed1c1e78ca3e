"""Every endpoint of the fine_tuning page, replayed: each documented key is there, in its place, of its type."""

import time
from typing import Any

import pytest

from functions.api import fine_tuning
from luthier.jobs.entity import Job
from tests.contract import fine_tuning_page as page
from tests.factories import metrics_line, principal, rows
from tests.gateway import Gateway

ROOT = "/api/v1/fine-tuning"
JOBS = f"{ROOT}/jobs"


def assert_as_documented(documented: Any, answered: Any, place: str = "$") -> None:
    """The documented keys come first and in order, each of its documented type; where it is null, anything goes."""
    if documented is None:
        return
    if isinstance(documented, dict):
        assert list(answered)[: len(documented)] == list(documented), place
        for key, value in documented.items():
            assert_as_documented(value, answered[key], f"{place}.{key}")
    elif isinstance(documented, list):
        assert isinstance(answered, list), place
        assert answered, place
        for index, value in enumerate(answered):
            assert_as_documented(documented[0], value, f"{place}[{index}]")
    elif isinstance(documented, str) and documented == page.TIME:
        assert answered.endswith("Z"), place
        assert len(answered) == len(page.TIME), place
    else:
        number = (int, float) if isinstance(documented, int | float) else type(documented)
        assert isinstance(answered, number), place
        assert not isinstance(answered, bool), place


@pytest.fixture
def created(api: Gateway) -> Job:
    """The job of the page's own create request; only the dataset's id is ours."""
    for name, count in (("training_data.jsonl", 12), ("validation_data.jsonl", 4)):
        dataset = api.platform.datasets.upload(principal(), filename=name, purpose="fine-tune", content=rows(count))
        if name.startswith("training"):
            training = dataset.id
    answer = api.post(JOBS, page.CREATE | {"trainingDataset": training})
    assert answer.status == 201
    assert_as_documented(page.CREATED, answer.json())
    assert list(answer.json()) == list(page.CREATED)
    assert {**answer.json(), "id": 0, "createdAt": 0} == {**page.CREATED, "id": 0, "createdAt": 0}
    job = api.platform.job_store.get("org_a", answer.json()["id"])
    assert job is not None
    return job


@pytest.fixture
def running(api: Gateway, created: Job) -> Job:
    job = api.platform.launch(created)
    lines = [metrics_line(step, learning_rate=0.0002, validation_loss=0.9 / step) for step in (2, 4)]
    api.platform.watcher.metrics_written(api.platform.write_metrics(job, *lines))
    return api.platform.fresh(job)


def test_get_job(api: Gateway, running: Job) -> None:
    shown = api.get(f"{JOBS}/{running.id}").json()
    assert_as_documented(page.JOB, shown)
    fixed = ("name", "baseModel", "status", "description", "trainingFile", "validationFile", "resultModel", "error")
    assert {key: shown[key] for key in fixed} == {key: page.JOB[key] for key in fixed}
    given = page.CREATE["hyperparameters"]
    assert {key: shown["hyperparameters"][key] for key in given} == given
    extras = list(shown)[len(page.JOB) :]
    state = ["phase", "statusReason", "progress", "cost", "resumable", "attempt", "hardware", "method"]
    assert extras == [*state, "autoHyperparameters", "startFrom", "exports", "evaluation", "ended"]


def test_list_jobs(api: Gateway, running: Job) -> None:
    listed = api.get(f"{JOBS}?limit=20&offset=0&sort=createdAt:desc").json()
    assert_as_documented(page.LIST, listed)
    assert list(listed) == list(page.LIST)
    assert list(listed["jobs"][0]) == list(page.ROW)
    assert (listed["count"], listed["limit"], listed["offset"], listed["jobs"][0]["id"]) == (1, 20, 0, running.id)


BASE = "baseModel=llama-3.1-8b"


@pytest.mark.parametrize("query", ["status=running", BASE, f"status=running&{BASE}", "search=support+TICKETS"])
def test_list_jobs_by_each_filter(api: Gateway, running: Job, query: str) -> None:
    assert [job["id"] for job in api.get(f"{JOBS}?{query}").json()["jobs"]] == [running.id]


def test_stop_restart_and_delete(api: Gateway, running: Job) -> None:
    path = f"{JOBS}/{running.id}"
    stopped = api.post(f"{path}/stop")
    assert (stopped.status, stopped.json()) == (200, page.STOPPED | {"id": running.id})
    assert api.get(path).json()["status"] == "stopped"
    api.platform.training_job(running, "Stopped")
    api.platform.pipeline.settle(api.platform.step(running))
    restarted = api.post(f"{path}/restart")
    assert (restarted.status, restarted.json()) == (200, page.RESTARTED | {"id": running.id})
    api.post(f"{path}/stop")
    api.platform.pipeline.settle(api.platform.step(api.platform.fresh(running)))
    deleted = api.delete(path)
    assert (deleted.status, deleted.text) == (204, "")
    assert api.get(path).status == 404


def test_deploy(api: Gateway, running: Job) -> None:
    job = api.platform.complete(running)
    path = f"{JOBS}/{job.id}/deploy"
    assert_as_documented(page.DEPLOYED, api.post(path).json())
    api.platform.deployed(principal(), job.result_model or "")
    deployed = api.post(path)
    assert (deployed.status, deployed.json()) == (200, page.DEPLOYED | {"id": job.id})
    finished = api.get(f"{JOBS}/{job.id}").json()
    assert (finished["status"], finished["resultModel"]) == ("completed", page.DEPLOYED["resultModel"])
    assert_as_documented(page.TIME, finished["finishedAt"])


def test_logs(api: Gateway, running: Job) -> None:
    group, stream = "/aws/sagemaker/TrainingJobs", f"{running.training_job_name}/algo-1-1"
    api.platform.logs.create_log_group(logGroupName=group)
    api.platform.logs.create_log_stream(logGroupName=group, logStreamName=stream)
    at = int(time.time() - 60) * 1000
    events = [{"timestamp": at + n * 1000, "message": f'{{"level": "info", "message": "line {n}"}}'} for n in range(3)]
    api.platform.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    answer = api.get(f"{JOBS}/{running.id}/logs").json()
    assert_as_documented(page.LOGS, answer)
    assert [line["message"] for line in answer["logs"]] == ["line 0", "line 1", "line 2"]
    two = api.get(f"{JOBS}/{running.id}/logs?lines=2").json()["logs"]
    assert [line["message"] for line in two] == ["line 1", "line 2"]
    later = api.get(f"{JOBS}/{running.id}/logs?since={two[0]['timestamp']}").json()["logs"]
    assert [line["message"] for line in later] == ["line 2"]


def test_metrics(api: Gateway, running: Job) -> None:
    answer = api.get(f"{JOBS}/{running.id}/metrics").json()
    assert_as_documented(page.METRICS, answer)
    assert list(answer["metrics"]) == list(page.METRICS["metrics"])
    assert answer["metrics"]["totalEpochs"] == 3
    assert [step["step"] for step in answer["metrics"]["steps"]] == [2, 4]


def test_stats(api: Gateway, running: Job) -> None:
    answer = api.get(f"{ROOT}/stats").json()
    assert_as_documented(page.STATS, answer)
    assert answer == {"total": 1, "running": 1, "completed": 0, "failed": 0, "queued": 0, "stopped": 0}


def test_base_models(api: Gateway) -> None:
    models = {model["id"]: model for model in api.get(f"{ROOT}/base-models").json()["models"]}
    for documented in page.BASE_MODELS:
        model = models[documented["id"]]
        assert {key: model[key] for key in documented} == documented
        assert list(model)[: len(documented)] == list(documented)


def test_hardware(api: Gateway) -> None:
    hardware = {row["id"]: row for row in api.get(f"{ROOT}/hardware").json()["hardware"]}
    for documented in page.HARDWARE:
        row = hardware[documented["id"]]
        assert {key: row[key] for key in documented} == documented
        assert list(row)[: len(documented)] == list(documented)
        assert hardware[row["nearest"]]["available"]


def test_estimate_cost(api: Gateway) -> None:
    answer = api.post(f"{ROOT}/estimate-cost", page.ESTIMATE)
    assert answer.status == 200
    assert_as_documented(page.ESTIMATED, answer.json())
    assert isinstance(answer.json()["estimatedTimeMinutes"], int)
    assert {key: answer.json()[key] for key in (*page.ESTIMATE, "currency")} == page.ESTIMATE | {"currency": "USD"}


def test_every_endpoint_of_the_page_asks_for_its_scope_and_there_is_no_other() -> None:
    declared = {
        f"{route.method} {route.openapi_path.removeprefix(ROOT)}": route.security[0]["bearer"][0]
        for route in fine_tuning.app.routes
        if route.security
    }
    assert declared == page.SCOPES


def test_the_list_takes_the_parameters_of_the_page_and_no_other() -> None:
    (route,) = (route for route in fine_tuning.app.routes if route.func.__name__ == "list_jobs")
    assert {field.alias for field in route.dependant.query_params} == page.LIST_PARAMETERS
