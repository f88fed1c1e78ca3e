"""The Python client against the real functions: what it sends arrives, once, and what it gets it understands."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from luthier.client import (
    AuthenticationError,
    Conflict,
    InvalidRequest,
    LuthierError,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServiceUnavailable,
    WaitTimedOut,
    WorkFailed,
    uploading,
)
from tests.clients import Network, no_pauses
from tests.factories import BASE_MODEL, metrics_line, principal, rows
from tests.gateway import Gateway

JOB = {"name": "Tickets", "base_model": BASE_MODEL}


@pytest.fixture
def network(api: Gateway) -> Network:
    return Network(api)


def ask(api: Gateway) -> dict[str, Any]:
    return JOB | {"training_dataset": api.platform.dataset().id}


def test_what_is_written_in_pythons_spelling_arrives_in_the_routes(network: Network) -> None:
    client = network.client()
    created = client.fine_tuning.jobs.create(
        **ask(network.api),
        hyperparameters={"learning_rate": 0.0002, "batch_size": 4},
        evaluation={"max_examples": 7},
        max_cost=50,
    )
    job = client.fine_tuning.jobs.get(created.id)
    assert (job.base_model, job.baseModel, job.status) == (BASE_MODEL, BASE_MODEL, "queued")
    assert (job.hyperparameters["learningRate"], job.hyperparameters["batchSize"]) == (0.0002, 4)
    assert (job.evaluation.max_examples, job.cost.cap) == (7, 50)
    assert [row.id for row in client.fine_tuning.jobs.list(base_model=BASE_MODEL, status="queued")] == [job.id]
    assert client.fine_tuning.stats().total == 1
    assert BASE_MODEL in [model.id for model in client.fine_tuning.base_models()]
    assert client.fine_tuning.jobs.stop(job.id).status == "stopped"


def test_the_other_client_does_the_same(network: Network) -> None:
    async def use() -> None:
        async with network.async_client() as client:
            created = await client.fine_tuning.jobs.create(**ask(network.api))
            assert (await client.fine_tuning.jobs.get(created.id)).base_model == BASE_MODEL
            assert [job.id async for job in client.fine_tuning.jobs.list()] == [created.id]
            page = await client.fine_tuning.jobs.list()
            assert ([job.id for job in page.data], page.total) == ([created.id], 1)
            with pytest.raises(NotFound) as refused:
                await client.files.get("file_none")
            assert refused.value.code == "file_not_found"

    asyncio.run(use())


def test_what_is_passed_as_none_is_sent_and_what_is_not_passed_is_not(network: Network) -> None:
    models = network.client().training.models
    name = network.api.platform.completed().result_model or ""
    assert models.update(name, description="For support").description == "For support"
    assert models.update(name, tags=["a"]).description == "For support"
    assert models.update(name, description=None).description is None


@pytest.mark.parametrize("faults", [["before"], ["after"], ["after", "after"], ["lost"], ["lost", "before"]])
def test_a_create_that_is_tried_again_makes_one_job(
    network: Network, monkeypatch: pytest.MonkeyPatch, faults: list[str]
) -> None:
    pauses = no_pauses(monkeypatch)
    asked = ask(network.api)
    network.faults = list(faults)
    created = network.client().fine_tuning.jobs.create(**asked)
    network.faults = list(faults)
    asyncio.run(network.async_client().fine_tuning.jobs.create(**asked))
    keys = [request.headers["Idempotency-Key"] for request in network.requests]
    tries = len(faults) + 1
    assert (len(keys), len(set(keys[:tries])), len(set(keys[tries:])), len(set(keys))) == (2 * tries, 1, 1, 2)
    assert len(pauses) == 2 * len(faults)
    jobs = list(network.client().fine_tuning.jobs.list())
    assert len(jobs) == 2
    assert created.id in [job.id for job in jobs]


def test_a_callers_own_key_makes_two_calls_one_job(network: Network) -> None:
    asked = ask(network.api)
    first, second = (network.client().fine_tuning.jobs.create(**asked, idempotency_key="k") for _ in range(2))
    assert first == second
    with pytest.raises(InvalidRequest) as refused:
        network.client().fine_tuning.jobs.create(**{**asked, "name": "Other"}, idempotency_key="k")
    assert (refused.value.status, refused.value.code) == (422, "idempotency_key_reused")


def test_after_the_last_try_the_error_of_the_server_is_raised(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_pauses(monkeypatch)
    network.faults = ["before"] * 3
    with pytest.raises(ServiceUnavailable, match="503: <html>busy"):
        network.client().fine_tuning.stats()
    assert len(network.requests) == 3
    network.faults = ["before"]
    with pytest.raises(ServiceUnavailable):
        network.client().with_options(max_retries=0).fine_tuning.stats()


def test_a_list_shows_each_row_once_while_others_are_created(network: Network) -> None:
    api = network.api
    made = [api.platform.job(name=f"job {i}").id for i in range(7)]
    files = [api.platform.datasets.upload(principal(), filename="a.jsonl", purpose="evals", content=rows(1)).id]
    network.between = lambda _: (
        api.platform.job(),
        files.append(
            api.platform.datasets.upload(principal(), filename="a.jsonl", purpose="evals", content=rows(1)).id
        ),
    )
    listed = [job.id for job in network.client().fine_tuning.jobs.list(limit=3)]
    assert len(listed) == len(set(listed))
    assert set(made) <= set(listed)
    assert len([sent for sent in network.sent if sent.endswith("/jobs")]) > 3
    before = list(files)
    seen = [file.id for file in network.client().files.list(limit=2, purpose="evals")]
    assert len(seen) == len(set(seen))
    assert set(before) <= set(seen)

    async def through() -> list[str]:
        return [job.id async for job in network.async_client().fine_tuning.jobs.list(limit=3)]

    later = asyncio.run(through())
    assert len(later) == len(set(later))
    assert set(listed) <= set(later)


def test_every_list_can_be_gone_through(network: Network) -> None:
    api, client = network.api, network.client()
    job = api.platform.completed(suffix="v1")
    api.platform.deployed(principal(), job.result_model or "")
    client.training.aliases.put(
        "support",
        routes=[{"deployment_id": deployment.id, "weight": 1} for deployment in client.training.deployments.list()],
    )
    hook = client.webhooks.create(url="https://app.example.com/hooks", events=["training.completed"])
    model = client.training.models.get(job.result_model or "")
    assert [alias.name for alias in client.training.aliases.list()] == ["support"]
    assert [version.id for version in client.training.versions.list(model.id)] == [model.id]
    assert [one.model_id for one in client.training.models.deployments(model.id)] == [model.id]
    assert hook.id in [one.id for one in client.webhooks.list()]
    assert {model.id for model in client.models.list()} == {"support", model.name}
    for page in (
        client.fine_tuning.hardware(), client.files.list(), client.batches.list(), client.webhooks.events(),
        client.webhooks.deliveries.list(hook.id), client.organization.api_keys.list(limit=1),
        client.organization.ledger(), client.organization.audit_logs(limit=1),
        client.training.evaluations.list(model.id),
        client.fine_tuning.jobs.events.list(job.id), client.fine_tuning.jobs.checkpoints.list(job.id),
    ):  # fmt: skip
        found = list(page)
        assert len({getattr(row, "id", id(row)) for row in found}) == len(found)
    assert client.organization.usage(group_by="model").data is not None
    assert client.organization.credits().model_fields_set


def test_a_chat_answers_whole_and_in_parts(network: Network) -> None:
    platform = network.api.platform
    model = platform.deployed(principal(), platform.completed(suffix="v1").result_model or "").model_name
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Tell me more"}]}
    client = network.client()
    whole = client.chat.completions.create(**asked, temperature=0)
    assert (whole.choices[0].message.content, whole.usage.completion_tokens) == ("Tell me more", 3)
    with client.chat.completions.create(**asked, stream=True) as stream:
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "Tell me more"
    texts = [chunk.choices[0].text for chunk in client.completions.create(model=model, prompt="Once upon", stream=True)]
    assert "".join(texts) == "Once upon"
    assert client.inference.run(model, prompt="Hello there").text == "Hello there"

    async def later() -> str:
        chunks = await network.async_client().chat.completions.create(**asked, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])

    assert asyncio.run(later()) == "Tell me more"


def test_a_stream_that_fails_raises_what_the_server_says(network: Network) -> None:
    platform = network.api.platform
    model = platform.deployed(principal(), platform.completed(suffix="v1").result_model or "").model_name
    platform.runtime.broken = OSError("connection reset")
    asked: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "one two three"}]}
    stream = iter(network.client().chat.completions.create(**asked, stream=True))
    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["one ", "two "]
    with pytest.raises(ServiceUnavailable) as broken:
        next(stream)
    assert broken.value.code == "model_failed"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can reach."""
    monkeypatch.setattr(uploading, "ONE_REQUEST", 1_000)
    monkeypatch.setattr(uploading, "PART", 700)
    monkeypatch.setattr(uploading, "IN_PARTS", 5_000)


FORM, UPLOAD = "POST /v1/files", "POST /v1/uploads"


@pytest.mark.usefixtures("small")
def test_a_file_goes_the_way_that_fits_its_size(network: Network, tmp_path: Path) -> None:
    sizes = {5: 1, 20: 2, 60: 3}
    for count in sizes:
        content = rows(count)
        path = tmp_path / f"train{count}.jsonl"
        path.write_bytes(content)
        network.requests.clear()
        file = network.client().files.upload(path)
        assert (file.status, file.rows, file.filename) == ("processed", count, path.name)
        first = network.sent[0]
        if len(content) <= 1_000:
            assert network.sent == [FORM]
        elif len(content) <= 5_000:
            assert first == UPLOAD
            assert len(network.sent) == 2 + -(-len(content) // 700)
        else:
            assert first == "POST /v1/files/presigned"
            put = network.requests[1]
            assert (put.method, put.headers["content-length"]) == ("PUT", str(len(content)))
            assert "authorization" not in put.headers
        assert network.client().files.content(file.id) == content


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("count", [5, 20, 60])
def test_an_upload_survives_lost_answers_at_every_step(
    network: Network, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    no_pauses(monkeypatch)
    content = rows(count)
    steps = {5: 1, 20: 2 + -(-len(rows(20)) // 700), 60: 3}[count]
    network.faults = ["lost", ""] * steps

    async def upload() -> Any:
        return await network.async_client().files.upload(content, filename="train.jsonl")

    assert asyncio.run(upload()).status == "processed"
    assert [file.rows for file in network.client().files.list()] == [count]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("count", [5, 20, 60])
def test_an_upload_that_is_repeated_with_its_key_is_the_same_file(network: Network, count: int) -> None:
    files = [
        network.client().files.upload(rows(count), filename="a.jsonl", idempotency_key="k", purpose="evals")
        for _ in range(2)
    ]
    assert files[0] == files[1]
    assert len(list(network.client().files.list())) == 1


@pytest.mark.usefixtures("small")
def test_what_is_too_large_to_expire_is_refused_before_it_is_sent(network: Network) -> None:
    with pytest.raises(InvalidRequest) as refused:
        network.client().files.upload(rows(60), expires_after=3600)
    assert (refused.value.field, network.requests) == ("expires_after", [])


def test_a_file_with_bad_lines_says_so_when_it_is_waited_for(network: Network) -> None:
    file = network.client().files.upload(b'{"no": "row"}\n', filename="bad.jsonl", expires_after=3600)
    assert (file.status, file.expires_at) == ("error", file.created_at + 3600)
    with pytest.raises(WorkFailed) as failed:
        file.wait()
    assert failed.value.resource.id == file.id
    assert network.client().files.report(file.id).findings[0].line == 1


def test_waiting_shows_progress_and_outlasts_an_outage(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = network.api.platform
    created = network.client().fine_tuning.jobs.create(**ask(network.api))
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
        network.client().fine_tuning.jobs.wait(job.id)
    assert sum(pauses) > 200


def test_a_job_that_fails_raises_its_reason(network: Network) -> None:
    job = network.api.platform.failed()
    with pytest.raises(WorkFailed) as failed:
        network.client().fine_tuning.jobs.wait(job.id)
    assert (failed.value.code, failed.value.remedy, failed.value.resource.status) == ("oom", "h", "failed")


def test_errors_come_in_families_with_code_field_request_and_remedy(network: Network) -> None:
    client = network.client()

    def refusal(call: Any, family: type[LuthierError]) -> LuthierError:
        with pytest.raises(family) as refused:
            call()
        assert (refused.value.request_id or "").startswith("req_")
        assert refused.value.remedy
        return refused.value

    name = network.api.platform.completed().result_model or ""
    bad = refusal(lambda: client.training.models.deploy(name, gpu_type=""), InvalidRequest)
    assert (bad.code, bad.field, bad.status) == ("invalid_value", "gpu_type", 400)
    bad = refusal(
        lambda: client.fine_tuning.jobs.create(**ask(network.api), hyperparameters={"learning_rat": 1}), InvalidRequest
    )
    assert (bad.code, bad.field) == ("unknown_hyperparameter", "hyperparameters.learning_rat")
    bad = refusal(lambda: client.training.models.deploy(name, gpu_type="v100"), InvalidRequest)
    assert (bad.code, bad.status) == ("deployment_failed", 422)
    assert refusal(lambda: client.training.models.get("model_x"), NotFound).code == "model_not_found"
    assert refusal(lambda: client.training.deployments.get("ep_x"), NotFound).code == "not_found"
    assert (
        refusal(lambda: client.fine_tuning.jobs.restart(network.api.platform.job().id), Conflict).code
        == "state_conflict"
    )
    poor = Network(network.api.caller("models:read")).client()
    assert refusal(lambda: poor.webhooks.list(), PermissionDenied).code == "scope_required"
    stranger = Network(Gateway(network.api.platform, "lt_wrong")).client()
    assert refusal(lambda: stranger.files.list(), AuthenticationError).code == "unauthorized"


def test_a_conflict_is_tried_again_only_where_the_server_says_when(
    monkeypatch: pytest.MonkeyPatch, network: Network
) -> None:
    pauses = no_pauses(monkeypatch)
    answers = [
        httpx.Response(409, headers={"Retry-After": "3"}, json={}),
        httpx.Response(409, json={}),
        httpx.Response(429, headers={"Retry-After": "61"}, json={"error": {"code": "RATE_LIMITED"}}),
    ]
    monkeypatch.setattr(Network, "__call__", lambda self, request: answers.pop(0))
    with pytest.raises(Conflict):
        network.client().fine_tuning.stats()
    assert pauses == [3.0]
    with pytest.raises(RateLimited) as refused:
        network.client().fine_tuning.stats()
    assert (pauses, refused.value.retry_after, refused.value.code) == ([3.0], 61.0, "rate_limited")


@pytest.mark.parametrize("model_id", ["", ".", ".."])
def test_an_id_that_would_lead_to_another_route_is_refused_before_it_is_sent(network: Network, model_id: str) -> None:
    with pytest.raises(InvalidRequest, match="model_id"):
        network.client().training.models.delete(model_id)
    assert network.requests == []
