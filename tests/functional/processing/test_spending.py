"""What processings may spend: so many at once, and paid from credits where work is billed."""

from dataclasses import replace

import pytest

from luthier import table
from luthier.errors import InsufficientCredits, RateLimited
from luthier.processing.entity import Processing
from tests.factories import SETTINGS, Platform, principal
from tests.functional.processing import world

A, B = principal("org_a"), principal("org_b")
WISH = ("evaluate", "model_x", "smollm2-135m-instruct")


@pytest.fixture
def billed(monkeypatch: pytest.MonkeyPatch, platform: Platform) -> Platform:
    monkeypatch.setattr(platform.credits, "billing", True)
    return platform


def ensure(platform: Platform, number: int, organization: str = "org_a") -> Processing:
    return platform.processings.ensure(organization, *WISH, {"number": number}, "user_1")


def test_an_organization_may_have_so_many_at_once_and_no_more(platform: Platform) -> None:
    made = [ensure(platform, number) for number in range(20)]
    with pytest.raises(RateLimited) as refused:
        ensure(platform, 20)
    assert refused.value.code == "concurrent_processings_exceeded"
    assert platform.processings.peek("org_a", *WISH[:2], {"number": 20}) is None
    # Asking again for what runs is no other one, and another organization has its own.
    assert ensure(platform, 3) == made[3]
    ensure(platform, 20, "org_b")
    platform.processing_pipeline.settle("org_a", made[0].id, 1, None)
    assert ensure(platform, 20).status == "queued"


def test_one_that_is_tried_again_counts_again(platform: Platform) -> None:
    made = ensure(platform, 0)
    platform.processing_pipeline.settle("org_a", made.id, 1, None)
    assert live(platform) == 0
    ensure(platform, 0)
    assert live(platform) == 1


def live(platform: Platform) -> int:
    key = table.encode(table.key("org_a", table.counters("PROCESSING")))
    return int(platform.dynamodb.get_item(TableName=SETTINGS.table, Key=key)["Item"]["live"]["N"])


def test_without_credits_none_begins_where_work_is_billed(billed: Platform) -> None:
    with pytest.raises(InsufficientCredits):
        ensure(billed, 0)
    billed.credits.grant("org_a", 1, "try")
    assert ensure(billed, 0).billed


def test_what_an_attempt_took_is_charged_and_counted(billed: Platform) -> None:
    world.eval_set(billed, A)
    billed.credits.grant("org_a", 10_000, "try")
    model = world.model(billed, A)
    before = billed.credits.get(A).balance_cents
    [asked] = billed.evaluations.evaluate(A, model.id, ["custom_eval_suite"])
    done = world.finish(billed, asked.processing)
    cents = before - billed.credits.get(A).balance_cents
    assert cents == round(done.cost * 100)
    assert cents > 0
    entries, _ = billed.credits.ledger(A)
    assert (entries[0].kind, entries[0].reference) == ("usage", done.id)
    used = billed.usage.summary(A, start=None, end=None, by=["kind"])
    [row] = [row for row in used.rows if row.kind == "processing"]
    assert (row.use.billed_seconds, row.use.microcents) == (3600, round(done.cost * 100_000_000))


def test_what_began_while_nothing_was_billed_stays_free(billed: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    world.eval_set(billed, A)
    monkeypatch.setattr(billed.credits, "billing", False)
    model = world.model(billed, A)
    [asked] = billed.evaluations.evaluate(A, model.id, ["custom_eval_suite"])
    monkeypatch.setattr(billed.credits, "billing", True)
    world.finish(billed, asked.processing)
    assert billed.credits.get(A).balance_cents == 0


def test_a_second_settling_charges_nothing_more(billed: Platform) -> None:
    world.eval_set(billed, A)
    billed.credits.grant("org_a", 10_000, "try")
    model = world.model(billed, A)
    [asked] = billed.evaluations.evaluate(A, model.id, ["custom_eval_suite"])
    done = world.finish(billed, asked.processing)
    balance = billed.credits.get(A).balance_cents
    assert world.settle(billed, done) == done
    assert billed.credits.get(A).balance_cents == balance
    assert replace(done, writes=0) == replace(world.fresh(billed, done), writes=0)
