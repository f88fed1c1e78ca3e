"""Credits: held when a job is queued, settled at what it cost, and always what the ledger says."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier import table, wiring
from luthier.credits.entity import Change, Entry, cents
from luthier.credits.service import CreditsMoved
from luthier.errors import InsufficientCredits, InvalidRequest
from tests.factories import BASE_MODEL, Platform, principal
from tests.gateway import Gateway

WHO = principal()
GPU = "gpu-h100-80gb"


def ledger(platform: Platform, organization_id: str = "org_a") -> list[Entry]:
    """The whole ledger, oldest first."""
    return platform.credits.ledger(principal(organization_id), limit=1_000)[0][::-1]


def kinds(platform: Platform) -> list[str]:
    return [entry.kind for entry in ledger(platform)]


def assert_balanced(platform: Platform) -> None:
    credits, entries = platform.credits.get(WHO), ledger(platform)
    assert sum(entry.amount_cents for entry in entries) == credits.balance_cents
    assert sum(entry.held_cents for entry in entries) == credits.held_cents
    total = 0
    for entry in entries:
        total += entry.amount_cents
        assert entry.balance_after_cents == total
    stored = platform.dynamodb.get_item(TableName="luthier", Key={"pk": {"S": "ORG#org_a"}, "sk": {"S": "CREDITS"}})
    if "Item" in stored:
        assert int(stored["Item"]["available_cents"]["N"]) == credits.available_cents


@pytest.mark.parametrize(
    ("amount", "whole"), [(0, 0), (0.01, 1), (0.011, 2), (1.1, 110), (0.07 * 100 / 100, 7), (2.2, 220)]
)
def test_money_is_rounded_up_to_whole_cents(amount: float, whole: int) -> None:
    assert cents(amount) == whole


def test_nothing_is_held_or_charged_where_billing_is_off(platform: Platform) -> None:
    platform.completed(WHO)
    assert ledger(platform) == []


def test_a_job_holds_its_estimate(billed: Platform) -> None:
    billed.credits.grant("org_a", 10_000, "welcome")
    job = billed.job(WHO)
    credits = billed.credits.get(WHO)
    assert credits.held_cents == job.held_cents == cents(job.cost["estimate"])
    assert (credits.balance_cents, credits.available_cents) == (10_000, 10_000 - job.held_cents)


def test_a_capped_job_holds_no_more_than_is_left_below_its_cap(billed: Platform) -> None:
    billed.credits.grant("org_a", 10_000, "welcome")
    job = billed.job(WHO, hardware=GPU)
    assert replace(job, cost=job.cost | {"cap": 0.3, "accrued": 0.1}).expected_cost == pytest.approx(0.2)
    assert replace(job, cost=job.cost | {"cap": 99.0}).expected_cost == job.cost["estimate"]


def test_a_job_is_settled_at_its_billed_seconds(billed: Platform) -> None:
    billed.credits.grant("org_a", 10_000, "welcome")
    job = billed.launched(WHO)
    done = billed.complete(job)
    assert kinds(billed)[:2] == ["grant", "hold"]
    credits = billed.credits.get(WHO)
    assert credits.held_cents == 0
    assert credits.balance_cents == 10_000 - cents(done.cost["accrued"])
    assert_balanced(billed)


def test_what_a_job_costs_beyond_its_hold_is_an_adjustment(billed: Platform) -> None:
    billed.credits.grant("org_a", 10_000, "welcome")
    job = billed.launched(WHO)
    billed.training_job(job, "Failed", BillableTimeInSeconds=24 * 3600, FailureReason="x")
    done = billed.pipeline.settle(billed.step(job))
    assert kinds(billed) == ["grant", "hold", "settle", "adjustment"]
    assert billed.credits.get(WHO).balance_cents == 10_000 - cents(done.cost["accrued"])
    assert_balanced(billed)


@pytest.mark.parametrize("ending", ["stopped", "failed"])
def test_what_ends_before_it_is_billed_is_released(billed: Platform, ending: str) -> None:
    billed.credits.grant("org_a", 10_000, "welcome")
    job = billed.job(WHO)
    if ending == "stopped":
        billed.jobs.stop(WHO, job.id)
    assert billed.pipeline.settle(billed.step(job)).status == ending
    assert kinds(billed) == ["grant", "hold", "release"]
    assert billed.credits.get(WHO).available_cents == 10_000


def test_settling_twice_charges_once(billed: Platform) -> None:
    billed.credits.grant("org_a", 10_000, "welcome")
    done = billed.completed(WHO)
    before = ledger(billed)
    billed.pipeline.settle(billed.step(done))
    assert ledger(billed) == before


def test_a_restart_holds_again(billed: Platform) -> None:
    billed.credits.grant("org_a", 10_000, "welcome")
    job = billed.jobs.restart(WHO, billed.failed(WHO).id)
    assert billed.credits.get(WHO).held_cents == job.held_cents > 0
    assert kinds(billed) == ["grant", "hold", "release", "hold"]


def test_a_job_that_credits_do_not_cover_is_not_created(billed: Platform) -> None:
    billed.credits.grant("org_a", 1, "welcome")
    with pytest.raises(InsufficientCredits) as refused:
        billed.job(WHO, hardware=GPU)
    assert refused.value.details["available_cents"] == 1
    assert billed.jobs.stats(WHO).total == 0
    assert kinds(billed) == ["grant"]
    assert billed.states.started == []


def test_a_repeated_create_finds_its_job_although_the_credits_are_spent(billed: Platform) -> None:
    request: dict[str, Any] = {"training_dataset": billed.dataset(WHO).id, "idempotency_key": "k"}
    billed.credits.grant("org_a", 10_000, "welcome")
    first = billed.job(WHO, **request)
    billed.credits.grant("org_a", -(10_000 - first.held_cents), "taken back")
    assert billed.job(WHO, **request).id == first.id
    assert kinds(billed).count("hold") == 1


def test_jobs_created_at_once_never_hold_more_than_there_is(billed: Platform) -> None:
    dataset = billed.dataset(WHO).id
    billed.credits.grant("org_a", 10_000, "welcome")
    price = billed.job(WHO, training_dataset=dataset, hardware=GPU).held_cents
    billed.credits.grant("org_a", 3 * price + price // 2 - billed.credits.get(WHO).available_cents, "exactly")

    def create(_: int) -> bool:
        try:
            billed.job(WHO, training_dataset=dataset, hardware=GPU)
        except InsufficientCredits:
            return False
        return True

    with ThreadPoolExecutor(8) as clients:
        assert sum(clients.map(create, range(8))) == 3
    assert billed.credits.get(WHO).available_cents == price // 2
    assert_balanced(billed)


def test_falling_through_a_threshold_is_an_event_once_until_the_next_grant(billed: Platform) -> None:
    def warnings() -> int:
        return billed.events().count("usage.threshold_reached")

    billed.credits.grant("org_a", 1_000, "welcome")
    billed.credits.spend("org_a", 400, "x")
    assert warnings() == 0
    billed.credits.spend("org_a", 100, "x")
    billed.credits.spend("org_a", 100, "x")
    assert warnings() == 1
    billed.credits.spend("org_a", 390, "x")
    assert warnings() == 2
    billed.credits.grant("org_a", 1_000, "more")
    billed.credits.spend("org_a", 600, "x")
    assert warnings() == 3


def test_tokens_are_charged_by_whole_cents_and_no_fraction_is_lost(billed: Platform) -> None:
    billed.credits.grant("org_a", 100, "welcome")
    for _ in range(25):
        billed.usage.meter_inference(WHO, "m", prompt_tokens=60, completion_tokens=40)
    assert billed.credits.get(WHO).balance_cents == 98
    assert [entry.reference for entry in ledger(billed)[1:]] == ["inference:m", "inference:m"]
    (row,) = billed.usage.summary(WHO, start=None, end=None, by=["model"]).rows
    assert (row.use.requests, row.use.microcents) == (25, 2_500_000)
    assert_balanced(billed)


def test_a_charge_that_got_lost_is_made_with_the_next_answer(billed: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    billed.credits.grant("org_a", 100, "welcome")
    with monkeypatch.context() as broken:
        broken.setattr(billed.credits, "spend", None)
        billed.usage.meter_inference(WHO, "m", prompt_tokens=1_000, completion_tokens=0)
    billed.usage.meter_inference(WHO, "m", prompt_tokens=1, completion_tokens=0)
    assert billed.credits.get(WHO).balance_cents == 99


def test_inference_without_credits_is_refused_before_the_model_is_asked(billed: Platform) -> None:
    billed.credits.grant("org_a", 10_000, "welcome")
    name = billed.completed(WHO).result_model or ""
    billed.deployed(WHO, name)
    asked = {"model": name, "messages": [{"role": "user", "content": "hello"}]}
    billed.inference.complete(WHO, asked)
    billed.credits.grant("org_a", -billed.credits.get(WHO).balance_cents, "taken back")
    count = len(billed.runtime.asked)
    with pytest.raises(InsufficientCredits):
        billed.inference.complete(WHO, asked)
    assert len(billed.runtime.asked) == count


def test_a_finished_run_is_in_the_usage(billed: Platform) -> None:
    billed.credits.grant("org_a", 10_000, "welcome")
    done = billed.completed(WHO)
    (row,) = billed.usage.summary(WHO, start=None, end=None, by=["kind", "model"]).rows
    assert (row.kind, row.model, row.use.requests, row.use.billed_seconds) == ("training", BASE_MODEL, 1, 3600)
    assert row.use.microcents == pytest.approx(done.cost["accrued"] * 100 * 1_000_000, rel=1e-3)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/fine-tuning/jobs", {"name": "T", "baseModel": BASE_MODEL, "trainingDataset": "tickets.jsonl"}),
        ("/v1/fine-tune", {"baseModel": BASE_MODEL, "dataset": "tickets.jsonl"}),
    ],
)
def test_every_surface_answers_402_in_its_shape(
    api: Gateway, monkeypatch: pytest.MonkeyPatch, path: str, body: dict[str, Any]
) -> None:
    monkeypatch.setenv("LUTHIER_BILLING", "on")
    wiring.reset()
    api.platform.dataset()
    refused = api.post(path, body)
    assert refused.status == 402, refused.text
    assert refused.json()["error"]["code"].lower() == "insufficient_credits"


STEPS = st.one_of(
    st.tuples(st.just("grant"), st.integers(1, 5_000)),
    st.tuples(st.just("take back"), st.integers(1, 500)),
    st.tuples(st.just("queue"), st.integers(0, 0)),
    st.tuples(st.just("fail"), st.integers(0, 50_000)),
    st.tuples(st.just("stop"), st.integers(0, 3_000)),
    st.tuples(st.just("tokens"), st.integers(0, 9_000)),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=st.lists(STEPS, max_size=8))
def test_the_ledger_always_sums_to_the_balance(billed: Platform, story: list[tuple[str, int]]) -> None:
    dataset, live = billed.dataset(WHO).id, []
    for step, amount in story:
        if step == "grant":
            billed.credits.grant("org_a", amount, step)
        elif step == "take back":
            with suppress(InvalidRequest):
                billed.credits.grant("org_a", -amount, step)
        elif step == "tokens":
            billed.usage.meter_inference(WHO, "m", prompt_tokens=amount, completion_tokens=0)
        elif step == "queue":
            try:
                live.append(billed.launched(WHO, training_dataset=dataset, hardware=GPU))
            except InsufficientCredits:
                assert billed.credits.get(WHO).available_cents < 100
        elif live:
            job = live.pop()
            if step == "stop":
                billed.jobs.stop(WHO, job.id)
            billed.training_job(job, "Stopped" if step == "stop" else "Failed", BillableTimeInSeconds=amount)
            billed.pipeline.settle(billed.step(job))
        assert_balanced(billed)


@pytest.mark.parametrize("first", ["hold", "spend"])
def test_no_threshold_is_skipped_by_changes_that_did_not_see_each_other(billed: Platform, first: str) -> None:
    billed.credits.grant("org_a", 100, "welcome")
    late = billed.credits.hold("org_a", 30, "late")
    if first == "hold":
        table.transact(billed.dynamodb, billed.credits.hold("org_a", 30, "early"))
    else:
        billed.credits.spend("org_a", 30, "early")
    with pytest.raises(CreditsMoved):
        table.transact(billed.dynamodb, late)
    table.transact(billed.dynamodb, billed.credits.hold("org_a", 30, "late"))
    assert billed.credits.get(WHO).available_cents == 40
    assert billed.events().count("usage.threshold_reached") == 1


def test_holds_above_the_next_threshold_do_not_get_into_each_others_way(billed: Platform) -> None:
    billed.credits.grant("org_a", 100, "welcome")
    for writes in [billed.credits.hold("org_a", 10, name) for name in "abcd"]:
        table.transact(billed.dynamodb, writes)
    assert billed.credits.get(WHO).held_cents == 40


def test_a_grant_counts_from_what_is_available_when_it_is_written(billed: Platform) -> None:
    billed.credits.grant("org_a", 100, "welcome")
    store, before = billed.credits._store, billed.credits.get(WHO)
    change = (Change("grant", 100, 0, "more"),)
    grant = store.writes("org_a", before, change, "2026-01-01T00:00:00Z", CreditsMoved())
    table.transact(billed.dynamodb, billed.credits.hold("org_a", 10, "meanwhile"))
    with pytest.raises(CreditsMoved):
        table.transact(billed.dynamodb, grant)
