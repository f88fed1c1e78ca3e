"""Waiting with the Python client: progress, outages, ends, and the README's example from upload to answer."""

import asyncio
import re
from typing import Any

import httpx
import pytest

from luthier.client import ServiceUnavailable, WaitTimedOut, WorkFailed
from tests.clients import BASE_URL, Network, no_pauses
from tests.contract.test_readme import README, ROOT
from tests.factories import BASE_MODEL, metrics_line, principal, rows
from tests.gateway import Gateway


@pytest.fixture
def network(api: Gateway) -> Network:
    return Network(api)


def test_waiting_shows_progress_and_outlasts_an_outage(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = network.api.platform
    created = network.client().fine_tuning.jobs.create(
        name="Tickets", base_model=BASE_MODEL, training_dataset=network.api.platform.dataset().id
    )
    job = platform.fresh_by_id(created.id)
    steps = iter(
        [
            lambda: platform.watcher.metrics_written(platform.write_metrics(platform.launch(job), metrics_line(2))),
            lambda: network.faults.extend(["before"] * 5),
            lambda: platform.complete(platform.fresh(job)),
        ]
    )
    pauses = no_pauses(monkeypatch, lambda seconds: None if network.faults else next(steps, lambda: None)())
    shown: list[str] = []
    done = created.wait(on_progress=lambda now: shown.append(now.status))
    assert (done.status, done.result_model) == ("completed", platform.fresh(job).result_model)
    assert list(dict.fromkeys(shown)) == ["queued", "running", "completed"]
    assert max(pauses) <= 10

    async def later() -> Any:
        return await (await network.async_client().fine_tuning.jobs.get(created.id)).wait()

    assert asyncio.run(later()).result_model == done.result_model
    deployment = network.client().training.models.deploy(done.result_model)
    platform.run_deployment(platform.deployments.get(principal(), deployment.id))
    assert deployment.wait().status == "active"


def test_the_readmes_example_runs(
    network: Network, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = network.api.platform
    (example,) = re.findall(r"```python\n(from luthier.client import .*?)```", README, re.DOTALL)
    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", lambda _, request: network(request))
    monkeypatch.setenv("LUTHIER_API_KEY", str(network.api.key))
    monkeypatch.setenv("LUTHIER_BASE_URL", BASE_URL)
    monkeypatch.chdir(ROOT)

    def progress(_: float) -> None:
        (job,) = network.client().fine_tuning.jobs.list()
        if job.status != "completed":
            platform.complete(platform.launch(platform.fresh_by_id(job.id)))
        else:
            (deployment,) = network.client().training.deployments.list()
            platform.run_deployment(platform.deployments.get(principal(), deployment.id))

    no_pauses(monkeypatch, progress)
    exec(compile(example, "README", "exec"), {})
    assert capsys.readouterr().out.splitlines()[-1] == "…"


def test_waiting_ends_when_the_time_is_up_or_nobody_answers_for_minutes(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = no_pauses(monkeypatch)
    job = network.api.platform.job()
    with pytest.raises(WaitTimedOut) as late:
        network.client().fine_tuning.jobs.wait(job.id, timeout=0)
    assert (late.value.resource.id, pauses) == (job.id, [])
    network.faults = ["before"] * 1_000
    with pytest.raises(ServiceUnavailable):
        network.client(max_retries=0).fine_tuning.jobs.wait(job.id)
    assert pauses == []
    network.faults = ["", *["before"] * 1_000]
    with pytest.raises(ServiceUnavailable):
        network.client(max_retries=0).fine_tuning.jobs.wait(job.id)
    assert 200 < sum(pauses) < 600


def test_whatever_goes_on_by_itself_can_be_waited_for(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    platform, client = network.api.platform, network.client()
    no_pauses(monkeypatch, lambda _: network.api.answer_batches())
    deployed = platform.deployed(principal(), platform.completed(suffix="v1").result_model or "")
    run = client.endpoints.run_async(deployed.id, input={"prompt": "Hello"})
    assert (run.status, run.wait().status) == ("queued", "completed")
    asked = client.inference.batches.create(
        model_id=deployed.model_name, requests=[{"id": "a", "prompt": "Hi", "max_tokens": 3}]
    )
    assert asked.wait().results[0].text == "Hi"
    suite = client.files.upload(rows(3), filename="suite.jsonl", purpose="evals")
    evaluation = client.training.evaluations.create(deployed.model_name, benchmarks=[suite.id]).evaluations[0]
    with pytest.raises(WaitTimedOut) as late:
        evaluation.wait(timeout=0)
    assert late.value.resource.id == evaluation.id


def test_a_job_that_fails_raises_its_reason(network: Network) -> None:
    job = network.api.platform.failed()
    with pytest.raises(WorkFailed) as failed:
        network.client().fine_tuning.jobs.wait(job.id)
    assert (failed.value.code, failed.value.remedy, failed.value.resource.status) == ("oom", "h", "failed")
