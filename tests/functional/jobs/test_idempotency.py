"""However often a create is sent, and wherever it dies, there is one job."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from threading import Lock
from typing import Any

import httpx2
import openai
import pytest

from luthier import clock
from luthier.errors import Conflict, InvalidRequest, NotFound, Unprocessable
from luthier.idempotency import PENDING_SECONDS, Claim, fingerprint
from luthier.jobs.entity import JobRequest
from tests.factories import BASE_MODEL, Platform, principal
from tests.gateway import Gateway, api

__all__ = ["api"]

A = principal()
JOBS = "/api/v1/fine-tuning/jobs"


class Died(BaseException):
    """What the end of a process looks like from inside: nothing that it would still do is done."""


@pytest.fixture
def atomic(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that checks and writes in one step, as DynamoDB does; in-process, threads can come between both."""
    call, alone = platform.dynamodb._make_api_call, Lock()

    def one_by_one(*given: Any) -> Any:
        with alone:
            return call(*given)

    monkeypatch.setattr(platform.dynamodb, "_make_api_call", one_by_one)


@contextmanager
def dying(where: object, call: str) -> Iterator[None]:
    """The process ends when it makes this call."""

    def die(*_: Any, **__: Any) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patch, suppress(Died):
        patch.setattr(where, call, die)
        yield


def create_as_a_client_does(platform: Platform) -> str:
    """The id of the job; a client sends its request again when it is told to."""
    while True:
        try:
            return platform.jobs.create(A, ask(), idempotency_key="k").id
        except Conflict:
            continue


def ask(**more: Any) -> JobRequest:
    return JobRequest(**{"name": "Tickets", "base_model": BASE_MODEL, "training_dataset": "tickets"} | more)


def jobs_of(platform: Platform) -> int:
    return platform.jobs.stats(A).total


@pytest.mark.usefixtures("atomic")
def test_twenty_creates_at_once_with_one_key_make_one_job(platform: Platform) -> None:
    platform.dataset(A)
    with ThreadPoolExecutor(20) as pool:
        ids = set(pool.map(create_as_a_client_does, [platform] * 20))
    assert len(ids) == 1
    assert jobs_of(platform) == 1
    assert len(platform.states.started) == 1
    assert platform.events() == ["training.queued"]


@pytest.mark.usefixtures("atomic")
def test_a_create_waits_for_the_one_before_it(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    platform.dataset(A)
    resolve = platform.datasets.resolve
    calls: list[str] = []

    def slowly(*given: Any, **named: Any) -> Any:
        calls.append("resolve")
        time.sleep(0.5)
        return resolve(*given, **named)

    monkeypatch.setattr(platform.datasets, "resolve", slowly)
    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(create_as_a_client_does, [platform] * 3))) == 1
    assert calls == ["resolve"]


def test_a_create_that_died_at_work_is_waited_for_and_then_replaced(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.dataset(A)

    with dying(platform.job_store, "create"):
        platform.jobs.create(A, ask(), idempotency_key="k")
    began = time.monotonic()
    with pytest.raises(Conflict) as refused:
        platform.jobs.create(A, ask(), idempotency_key="k")
    assert (refused.value.code, refused.value.retry_after) == ("idempotency_in_progress", 2)
    assert 2 <= time.monotonic() - began < 4
    with pytest.raises(Unprocessable):
        platform.jobs.create(A, ask(name="Other"), idempotency_key="k")
    platform.clock.advance(seconds=PENDING_SECONDS + 1)
    job = platform.jobs.create(A, ask(), idempotency_key="k")
    assert platform.jobs.create(A, ask(), idempotency_key="k").id == job.id
    assert jobs_of(platform) == 1


def test_a_slow_create_that_was_overtaken_finds_the_job_of_the_faster_one(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.dataset(A)
    create = platform.job_store.create
    overtaking: list[str] = []

    def overtaken(*given: Any, **named: Any) -> None:
        monkeypatch.undo()
        platform.clock.advance(seconds=PENDING_SECONDS + 1)
        overtaking.append(platform.jobs.create(A, ask(), idempotency_key="k").id)
        create(*given, **named)

    monkeypatch.setattr(platform.job_store, "create", overtaken)
    assert [platform.jobs.create(A, ask(), idempotency_key="k").id] == overtaking
    assert jobs_of(platform) == 1


def test_a_function_that_dies_between_the_write_and_the_start_loses_nothing(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.dataset(A)

    with dying(platform.states, "start_execution"):
        platform.jobs.create(A, ask(), idempotency_key="k")
    assert (jobs_of(platform), platform.states.started) == (1, [])
    again = platform.jobs.create(A, ask(), idempotency_key="k")
    assert jobs_of(platform) == 1
    assert [run["name"] for run in platform.states.started] == [again.execution_name]


def test_a_function_that_dies_there_and_is_never_asked_again_is_healed_by_the_sweeper(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.dataset(A)

    with dying(platform.states, "start_execution"):
        platform.jobs.create(A, ask())
    platform.clock.advance(minutes=1)
    assert len(platform.watcher.sweep()) == 1
    assert len(platform.states.started) == 1


def test_a_refused_create_leaves_its_key_free_for_the_corrected_one(platform: Platform) -> None:
    with pytest.raises(InvalidRequest):
        platform.jobs.create(A, ask(), idempotency_key="k")
    platform.dataset(A)
    assert platform.jobs.create(A, ask(name="Right"), idempotency_key="k").name == "Right"


def test_a_key_belongs_to_one_organization_and_one_route(api: Gateway) -> None:
    dataset, headers = api.platform.dataset().id, {"Idempotency-Key": "k"}
    body = {"baseModel": BASE_MODEL, "trainingDataset": dataset, "name": "Tickets"}
    first = api.post(JOBS, body, headers=headers)
    other = api.post("/v1/fine-tune", {"baseModel": BASE_MODEL, "dataset": dataset}, headers=headers)
    assert (first.status, other.status) == (201, 201)
    assert first.json()["id"] != other.json()["jobId"]
    reused = api.post("/v1/fine-tune", {"baseModel": BASE_MODEL, "dataset": "x.jsonl"}, headers=headers)
    assert (reused.status, reused.json()["error"]["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_a_create_in_progress_is_answered_409_with_when_to_come_back(api: Gateway) -> None:
    body = {"baseModel": BASE_MODEL, "trainingDataset": api.platform.dataset().id, "name": "Tickets"}
    created = api.post(JOBS, body, headers={"Idempotency-Key": "first"})
    job = api.platform.fresh_by_id(created.json()["id"])
    asked = JobRequest("Tickets", BASE_MODEL, job.training_dataset)
    claim = Claim(A, "fine_tuning.create", fingerprint(asdict(asked)), "k", retry=False)
    api.platform.dynamodb.put_item(**claim.turn("luthier", clock.now()))
    refused = api.post(JOBS, body, headers={"Idempotency-Key": "k"})
    assert (refused.status, refused.headers["retry-after"]) == (409, "2")
    assert refused.json()["error"]["code"] == "idempotency_in_progress"


class FaultyNetwork:
    """Carries requests to the API; the answers of the first ones are lost, before or after the work was done."""

    def __init__(self, api: Gateway, lose: list[str]) -> None:
        self.api, self.lose, self.sent = api, lose, 0

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.sent += 1
        fault = self.lose.pop(0) if self.lose else None
        if fault == "before":
            return httpx2.Response(503, json={"error": {"message": "injected"}})
        path = request.url.raw_path.decode()
        answer = self.api.stranger().send(request.method, path, request.read() or None, headers=dict(request.headers))
        if fault == "after":
            return httpx2.Response(503, json={"error": {"message": "injected"}})
        if fault == "lost":
            raise httpx2.ConnectError("The connection was lost.")
        return httpx2.Response(answer.status, headers=answer.headers, text=answer.text)


@pytest.mark.parametrize("faults", [["before"], ["after"], ["after", "after"], ["lost"], ["lost", "before"]])
def test_the_openai_clients_silent_retries_make_one_job(api: Gateway, faults: list[str]) -> None:
    network = FaultyNetwork(api, list(faults))
    client = openai.OpenAI(
        api_key=str(api.key),
        base_url="http://api.test/api/v1/fine-tuning",
        http_client=httpx2.Client(transport=httpx2.MockTransport(network)),
    )
    body = {"baseModel": BASE_MODEL, "trainingDataset": api.platform.dataset().id, "name": "Tickets"}
    created: Any = client.post("/jobs", body=body, cast_to=object)
    assert network.sent == len(faults) + 1
    assert jobs_of(api.platform) == 1
    assert [run["name"] for run in api.platform.states.started] == [created["id"].replace("_", "-") + "-1"]


def test_a_claim_of_a_job_that_was_deleted_says_so(platform: Platform) -> None:
    platform.dataset(A)
    job = platform.jobs.create(A, ask(), idempotency_key="k")
    platform.job_store.delete(platform.fresh(job))
    with pytest.raises(NotFound):
        platform.jobs.create(A, ask(), idempotency_key="k")
