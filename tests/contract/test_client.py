"""The Python client against the real functions: what it sends arrives, once, and what it gets it understands."""

import asyncio
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
)
from tests.clients import Network, no_pauses
from tests.factories import BASE_MODEL, principal, rows
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
    assert {client.training.models.get(name).id for name in model.names} == {model.id}
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
