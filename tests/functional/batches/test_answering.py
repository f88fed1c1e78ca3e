"""Batches come back whole, in order and once, whatever the model does meanwhile."""

import time
from typing import Any

import pytest

from luthier.aliases.service import Wanted
from luthier.batches import service, worker
from luthier.errors import Conflict, InvalidRequest, NotFound, Unavailable
from luthier.idempotency import Repetition
from tests.factories import BASE_MODEL, Platform, principal
from tests.functional.batches.world import WHO, World, requests


def test_every_request_has_its_answer_in_the_order_of_the_requests(world: World) -> None:
    questions = [f"question {i}" for i in range(100)]
    world.engine.answer = lambda question: (time.sleep(0.003 * (hash(question) % 3)), question.upper())[1]
    batch = world.batch(*questions)
    assert world.fresh(batch).progress == "queued"
    world.work()
    done = world.fresh(batch)
    assert (done.status, done.completed, done.failed, done.position) == ("completed", 100, 0, 100)
    assert [row["id"] for row in world.results(batch)] == [str(i) for i in range(100)]
    assert world.texts(batch) == [question.upper() for question in questions]
    assert world.tokens() == (100, 500)
    assert world.platform.events()[-1] == "batch.completed"


def test_a_request_that_is_wrong_fails_alone_and_is_not_tried_again(world: World) -> None:
    def answer(question: str) -> str:
        if question == "bad":
            raise InvalidRequest("Too long.", code="invalid_value", param="messages")
        return question

    world.engine.answer = answer
    batch = world.batch("a", "bad", "c")
    world.work()
    done = world.fresh(batch)
    assert (done.status, done.completed, done.failed) == ("completed", 2, 1)
    assert world.texts(batch) == ["a", "invalid_value", "c"]
    assert world.engine.asked.count("bad") == 1
    assert world.tokens() == (2, 10)


@pytest.mark.parametrize("failure", [Unavailable("It hiccuped.", code="model_failed"), OSError("reset")])
def test_what_may_pass_is_tried_again(world: World, failure: Exception) -> None:
    failures = [failure, failure]

    def answer(question: str) -> str:
        if failures:
            raise failures.pop()
        return question

    world.engine.answer = answer
    batch = world.batch("a")
    world.work()
    assert world.texts(batch) == ["a"]
    assert world.slept == [1, 5]


@pytest.mark.parametrize(
    ("failure", "code"),
    [(Unavailable("No.", code="model_failed"), "model_failed"), (ValueError("x"), "internal_error")],
)
def test_what_does_not_pass_is_given_up_after_three_tries(world: World, failure: Exception, code: str) -> None:
    def answer(question: str) -> str:
        raise failure

    world.engine.answer = answer
    batch = world.batch("a")
    world.work()
    assert world.texts(batch) == [code]
    assert len(world.engine.asked) == 3
    assert world.fresh(batch).status == "completed"
    assert world.tokens() == (0, 0)


def test_a_sleeping_model_is_waited_for_as_long_as_it_says_and_nothing_fails(world: World) -> None:
    asleep = True

    def answer(question: str) -> str:
        if asleep and question != "0":
            raise Unavailable("It sleeps.", code="model_sleeping", retry_after=30)
        return question

    world.engine.answer = answer
    batch = world.batch(*map(str, range(10)))
    world.work()
    assert world.fresh(batch).position == 1
    world.wait(seconds=20)
    assert world.fresh(batch).status == "in_progress"
    asked = len(world.engine.asked)
    asleep = False
    world.wait(seconds=11)
    assert world.texts(batch) == list(map(str, range(10)))
    assert len(world.engine.asked) > asked
    assert world.tokens()[0] == 10


def test_a_model_that_is_still_being_deployed_is_waited_for(platform: Platform) -> None:
    world = World.on(platform)
    made = platform.deployments.deploy_model(WHO, BASE_MODEL)
    batch = world.batch("a")
    world.work()
    assert (world.fresh(batch).status, world.engine.asked) == ("in_progress", [])
    platform.run_deployment(made)
    world.wait(minutes=1)
    assert world.texts(batch) == ["A"]


def test_a_model_that_is_removed_meanwhile_fails_what_is_left(world: World) -> None:
    batch = world.batch("a", "b")
    made = world.platform.deployments.find("org_a", BASE_MODEL)
    assert made is not None
    world.platform.deployments.delete(WHO, made.id)
    world.platform.run_deployment(world.platform.deployments.get(WHO, made.id))
    world.work()
    assert world.texts(batch) == ["model_not_deployed", "model_not_deployed"]
    assert world.fresh(batch).status == "completed"


@pytest.mark.parametrize(("name", "refusal"), [("nobody", NotFound), ("llama-3.1-8b", Conflict)])
def test_what_could_never_be_answered_is_refused_at_once(world: World, name: str, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        world.batch("a", model=name)
    assert world.objects() == []
    assert not world.queues.waiting


def test_another_organizations_model_does_not_answer_and_its_batches_do_not_exist(world: World) -> None:
    them = principal("org_b")
    with pytest.raises(Conflict):
        world.batch("a", who=them)
    batch = world.batch("a")
    for verb in (world.service.get, world.service.cancel):
        with pytest.raises(NotFound):
            verb(them, batch.id, "requests")
    assert world.service.page(them, limit=10) == ([], False)


def test_an_equal_request_with_the_same_key_makes_no_second_batch(world: World) -> None:
    key = Repetition("k", None, "tuning")
    first, second = world.batch("a", repetition=key), world.batch("a", repetition=key)
    assert first.id == second.id
    world.work()
    assert world.engine.asked == ["a"]
    assert len([key for key in world.objects() if key.endswith("input.jsonl")]) == 1


def test_credits_that_are_used_up_fail_what_is_left(billed: Platform) -> None:
    billed.deployed(WHO, BASE_MODEL)
    world = World.on(billed)
    batch = world.batch("a")
    world.work()
    assert world.texts(batch) == ["insufficient_credits"]
    assert world.engine.asked == []
    billed.credits.grant(WHO.organization_id, 100, "test")
    paid = world.batch(*"abcd")
    world.work()
    assert world.fresh(paid).completed == 4
    assert [row["cost"] for row in world.results(paid)] == [0.005] * 4
    # 20 tokens at 100 cents per 1,000.
    assert billed.credits.of(WHO.organization_id).balance_cents == 98


def test_no_more_requests_are_under_way_at_a_deployment_than_it_has_places(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.engine.answer = lambda question: (time.sleep(0.01), question)[1]
    batches = [world.batch(*map(str, range(40))) for _ in range(2)]
    world.work()
    assert 2 < world.engine.busiest <= worker.MOST_PLACES
    assert [world.fresh(batch).status for batch in batches] == ["completed"] * 2
    held = world.store.begin(
        world.batch("a"), "ep_x", want=16, most=16, until=world.platform.clock.moment.replace(hour=1),
        now=world.platform.clock.moment,
    )  # fmt: skip
    assert held[1] == 16
    late, places = world.store.begin(
        world.batch("b"), "ep_x", want=1, most=16, until=world.platform.clock.moment.replace(hour=1),
        now=world.platform.clock.moment,
    )  # fmt: skip
    assert (late.turn, places) == (0, 0)
    assert world.store.is_wanted(held[0], "ep_x", world.platform.clock.moment)
    world.store.release(held[0], "ep_x")
    assert not world.store.is_wanted(held[0], "ep_x", world.platform.clock.moment)


def test_a_batch_that_finds_no_place_waits_and_is_answered_when_there_is_room(world: World) -> None:
    large = world.batch("x")
    deployment = world.platform.deployments.find("org_a", BASE_MODEL)
    assert deployment is not None
    now = world.platform.clock.moment
    until = now.replace(minute=4)
    world.store.begin(large, deployment.id, want=16, most=16, until=until, now=now)
    small = world.batch("a")
    world.work()
    world.wait(seconds=30)
    assert world.engine.asked == []
    # Whoever held them has died: they are free again when its time is over.
    world.wait(minutes=4)
    assert world.texts(small) == ["A"]


def test_who_made_room_comes_back_after_everybody_else_has_asked_again() -> None:
    assert worker.SOONEST < worker.LATEST < worker.ASIDE


def test_single_requests_have_places_that_no_long_batch_takes(world: World) -> None:
    deployment = world.platform.deployments.find("org_a", BASE_MODEL)
    assert deployment is not None
    now = world.platform.clock.moment
    for _ in range(2):
        world.store.begin(world.batch("x"), deployment.id, want=8, most=12, until=now.replace(minute=4), now=now)
    world.queues.waiting.clear()
    long, run = world.batch("a", "b"), world.service.run(WHO, BASE_MODEL, requests("c")[0]["body"])
    world.work()
    assert (world.fresh(long).status, world.fresh(run).status) == ("in_progress", "completed")
    assert world.engine.asked == ["c"]


def test_a_long_batch_makes_room_for_one_that_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PART", 4)
    monkeypatch.setattr(worker, "PATIENCE", 0)
    deployment = world.platform.deployments.find("org_a", BASE_MODEL)
    assert deployment is not None

    def answer(question: str) -> str:
        if question == "0":
            world.store._want("org_a", deployment.id, world.platform.clock.moment)
        return question

    world.engine.answer = answer
    long = world.batch(*map(str, range(100)))
    world.work()
    assert 0 < world.fresh(long).position < 100
    world.wait(seconds=worker.ASIDE)
    assert world.fresh(long).status == "completed"
    assert world.texts(long) == list(map(str, range(100)))


def test_a_batch_that_takes_longer_than_a_turn_goes_on_in_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "TURN_SECONDS", 0)
    monkeypatch.setattr(worker, "PART", 5)
    batch = world.batch(*map(str, range(60)))
    turns = 0
    while world.step():
        turns += 1
    assert turns > 2
    assert world.texts(batch) == list(map(str, range(60)))
    assert world.tokens()[0] >= 60


def test_many_small_parts_are_put_together_in_a_turn_of_their_own(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PART", 1)
    batch = world.batch(*map(str, range(30)))
    assert world.step()
    assert (world.fresh(batch).position, world.fresh(batch).status) == (30, "in_progress")
    world.work()
    assert world.texts(batch) == list(map(str, range(30)))


def test_cancelling_stops_what_has_not_begun_and_keeps_what_was_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PART", 10)

    def answer(question: str) -> str:
        if question == "5":
            world.service.cancel(WHO, batch.id, "requests")
            # Another worker takes the message; the batch is in the first one's hands.
            world.step()
        return question

    world.engine.answer = answer
    batch = world.batch(*map(str, range(100)))
    world.work()
    done = world.fresh(batch)
    assert done.status == "cancelled"
    assert 10 <= done.completed < 100
    assert len(world.engine.asked) == done.completed
    texts = world.texts(batch)
    assert texts[: done.completed] == list(map(str, range(done.completed)))
    assert set(texts[done.completed :]) == {"batch_cancelled"}
    assert len(texts) == 100
    assert world.platform.events()[-1] == "batch.cancelled"


@pytest.mark.parametrize("verb", ["rest", "change"])
def test_a_batch_that_is_cancelled_while_its_turn_ends_is_cancelled_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    batch = world.batch("a")
    known = getattr(world.store, verb)

    def late(*given: Any, **more: Any) -> Any:
        monkeypatch.setattr(world.store, verb, known)
        world.service.cancel(WHO, batch.id, "requests")
        world.step()
        return known(*given, **more)

    if verb == "rest":
        world.engine.answer = asleep
    monkeypatch.setattr(world.store, verb, late)
    world.work()
    assert world.fresh(batch).status == "cancelled"


def asleep(question: str) -> str:
    raise Unavailable("It sleeps.", code="model_sleeping", retry_after=60)


def test_a_batch_that_has_not_begun_is_cancelled_without_asking_anything(world: World) -> None:
    batch = world.batch("a", "b")
    assert world.service.cancel(WHO, batch.id, "requests").status == "cancelling"
    assert world.service.cancel(WHO, batch.id, "requests").status == "cancelling"
    world.work()
    assert world.fresh(batch).status == "cancelled"
    assert world.service.cancel(WHO, batch.id, "requests").status == "cancelled"
    assert world.engine.asked == []
    assert world.platform.events().count("batch.cancelled") == 1


def test_what_has_ended_cannot_be_cancelled(world: World) -> None:
    batch = world.batch("a")
    world.work()
    with pytest.raises(Conflict) as refused:
        world.service.cancel(WHO, batch.id, "requests")
    assert refused.value.details["current"] == "completed"


def test_what_a_day_has_not_answered_expires(world: World) -> None:
    def answer(question: str) -> str:
        if question == "b":
            raise Unavailable("It sleeps.", code="model_sleeping", retry_after=60)
        return question

    world.engine.answer = answer
    batch = world.batch("a", "b", "c")
    world.work()
    for _ in range(25):
        world.wait(hours=1)
    done = world.fresh(batch)
    assert (done.status, done.completed, done.failed) == ("expired", 1, 0)
    assert world.texts(batch) == ["a", "batch_expired", "batch_expired"]
    assert world.platform.events()[-1] == "batch.expired"


def test_an_alias_is_asked_by_its_name(world: World) -> None:
    deployment = world.platform.deployments.find("org_a", BASE_MODEL)
    assert deployment is not None
    world.platform.aliases.put(WHO, "live", routes=[Wanted(deployment.id)])
    batch = world.batch("a", model="live")
    world.work()
    assert world.texts(batch) == ["A"]
    assert world.results(batch)[0]["model"] == "live"


def test_results_that_are_too_many_for_an_answer_have_an_address(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_SHOWN_BYTES", 10)
    batch = world.batch("a")
    assert world.service.results(batch) == (None, None)
    world.work()
    rows, url = world.service.results(world.fresh(batch))
    assert rows is None
    assert "results.jsonl" in (url or "")


def test_a_request_that_is_longer_than_a_line_may_be_is_refused(world: World) -> None:
    with pytest.raises(Exception, match="longer") as refused:
        world.service.ask_all(WHO, BASE_MODEL, requests("x" * 2_000_000))
    assert refused.value.param == "requests[0]"  # type: ignore[attr-defined]


def test_an_ended_batch_goes_by_itself(world: World) -> None:
    batch = world.batch("a")
    world.work()
    item = world.platform.dynamodb.get_item(
        TableName="luthier", Key={"pk": {"S": "ORG#org_a"}, "sk": {"S": f"BATCH#{batch.id}"}}
    )["Item"]
    assert int(item["ttl"]["N"]) == int(world.platform.clock.moment.timestamp()) + 30 * 24 * 3600
    assert "gsi4pk" not in item
