"""A worker may die at any call it makes, before or after it took effect: every request is still answered, and once."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from luthier.batches import worker
from luthier.batches.entity import Batch
from luthier.batches.queue import Message
from luthier.errors import Unavailable
from tests.factories import BASE_MODEL, Platform, principal
from tests.fakes import FakeQueues
from tests.functional.batches.world import QUEUE, World, jsonl, line, requests


class Killed(BaseException):
    """The process is gone."""


class Fate:
    """What all clients of one process share: the n-th call is the last one, and a dead process calls nothing more."""

    def __init__(self, nth: int, moment: str) -> None:
        self.left = nth
        self._moment = moment
        self.dead = self.struck = False

    def call(self, act: Callable[[], Any]) -> Any:
        if self.dead:
            raise Killed
        self.left -= 1
        if self.left == 0 and self._moment == "before":
            self._strike()
        answer = act()
        if self.left == 0 and self._moment == "after":
            self._strike()
        return answer

    def reborn(self) -> None:
        self.dead = False

    def _strike(self) -> None:
        self.dead = self.struck = True
        raise Killed


class Mortal:
    def __init__(self, client: Any, fate: Fate) -> None:
        self._client = client
        self._fate = fate
        self.exceptions = getattr(client, "exceptions", None)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        return lambda *given, **request: self._fate.call(lambda: method(*given, **request))


class Life:
    """A world whose worker's clients die by one fate, with AWS's promise to hand work out again."""

    def __init__(self, platform: Platform, nth: int, moment: str) -> None:
        self.fate = Fate(nth, moment)
        self.queues = FakeQueues(platform.clock)
        mortal = [Mortal(client, self.fate) for client in (platform.dynamodb, platform.s3, self.queues)]
        self.world = World(platform, *mortal)
        self.calm = World(platform, platform.dynamodb, platform.s3, self.queues)

    def work(self) -> None:
        for _ in range(50):
            bodies = self.queues.take(QUEUE, 1)
            if not bodies:
                return
            try:
                failed = self.world.worker.take_all({"m": Message.read(bodies[0])})
            except Killed:
                failed = ["m"]
                self.fate.reborn()
            if failed:
                # It is hidden for six times as long as the function may run.
                self.queues._put(QUEUE, bodies[0], 1800)

    def live_on(self) -> None:
        for _ in range(8):
            self.work()
            self.calm.platform.clock.advance(minutes=4)
            try:
                self.world.worker.sweep()
            except Killed:
                self.fate.reborn()
        self.work()


def every_death(platform: Platform, moment: str, prepare: Callable[[Life, Any], Batch]) -> Any:
    """A life for each call at which the worker may die, ended by one in which it does not."""
    nth, struck = 0, True
    while struck:
        nth += 1
        who = principal(f"org_{nth}")
        platform.deployed(who, BASE_MODEL)
        life = Life(platform, nth, moment)
        batch = prepare(life, who)
        life.live_on()
        struck = life.fate.struck
        yield life.calm, life.calm.fresh(batch), who, f"killed {moment} call {nth}"
    assert nth > 8


@pytest.mark.parametrize("moment", ["before", "after"])
def test_wherever_a_worker_dies_every_request_is_answered_kept_and_counted_once(
    moment: str, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "PART", 2)

    def prepare(life: Life, who: Any) -> Batch:
        return life.calm.service.ask_all(who, BASE_MODEL, requests(*"abcd"))

    for world, done, who, death in every_death(platform, moment, prepare):
        assert (done.status, done.completed, done.failed) == ("completed", 4, 0), death
        assert world.texts(done) == list("ABCD"), death
        assert world.tokens(who) == (4, 20), death
        assert platform.events(who.organization_id).count("batch.completed") == 1, death


@pytest.mark.parametrize("moment", ["before", "after"])
def test_wherever_a_worker_dies_a_file_becomes_two_files(moment: str, platform: Platform) -> None:
    content = jsonl(line("a"), line("b", body={"temperature": 3}))

    def prepare(life: Life, who: Any) -> Batch:
        return life.calm.of_file(content, who)

    for world, done, who, death in every_death(platform, moment, prepare):
        assert (done.status, done.completed, done.failed) == ("completed", 1, 1), death
        assert [one["custom_id"] for one in world.lines(done.output_file_id, who)] == ["a"], death
        assert [one["custom_id"] for one in world.lines(done.error_file_id, who)] == ["b"], death
        files = platform.datasets.list(who, purpose="batch_output").items
        assert {file.id for file in files} == {done.output_file_id, done.error_file_id}, death


@pytest.mark.parametrize("moment", ["before", "after"])
def test_wherever_a_worker_dies_a_cancelled_batch_ends(moment: str, platform: Platform) -> None:
    def prepare(life: Life, who: Any) -> Batch:
        batch = life.calm.service.ask_all(who, BASE_MODEL, requests(*"ab"))
        return life.calm.service.cancel(who, batch.id, "requests")

    for world, done, who, death in every_death(platform, moment, prepare):
        assert done.status == "cancelled", death
        assert len(world.results(done)) == 2, death
        assert platform.events(who.organization_id).count("batch.cancelled") == 1, death


@pytest.mark.parametrize("moment", ["before", "after"])
def test_wherever_the_request_dies_that_makes_a_batch_there_is_a_whole_one_or_none(
    moment: str, platform: Platform
) -> None:
    nth, struck = 0, True
    while struck:
        nth += 1
        who = principal(f"org_{nth}")
        platform.deployed(who, BASE_MODEL)
        life = Life(platform, nth, moment)
        try:
            life.world.service.ask_all(who, BASE_MODEL, requests("a"))
        except Killed:
            life.fate.reborn()
        struck = life.fate.struck
        life.live_on()
        texts = [one for one in life.calm.engine.asked + life.world.engine.asked if one]
        made = platform.events(who.organization_id).count("batch.completed")
        assert len(texts) == made <= 1, f"killed {moment} call {nth}"
    assert nth > 2


def test_a_worker_that_was_overtaken_writes_nothing_more(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    who = principal()
    platform.deployed(who, BASE_MODEL)
    world = World.on(platform)
    batch = world.batch("a")

    def answer(question: str) -> str:
        # It hangs so long that everybody takes it for dead.
        world.engine.answer = str.upper
        world.wait(minutes=8)
        return "late"

    world.engine.answer = answer
    world.work()
    assert world.texts(batch) == ["A"]
    assert world.tokens() == (1, 5)


def test_two_messages_about_one_turn_ask_nothing_twice(platform: Platform) -> None:
    who = principal()
    platform.deployed(who, BASE_MODEL)
    world = World.on(platform)
    batch = world.batch("a")
    world.queues.send_message(QUEUE, world.queues.waiting[QUEUE][0][1])
    world.work()
    assert world.engine.asked == ["a"]
    assert world.texts(batch) == ["A"]


def test_a_message_that_was_lost_altogether_is_sent_again_by_the_sweeper(platform: Platform) -> None:
    who = principal()
    platform.deployed(who, BASE_MODEL)
    world = World.on(platform)
    batch = world.batch("a")
    world.queues.waiting.clear()
    world.wait(minutes=1)
    assert world.engine.asked == []
    world.wait(minutes=2)
    assert world.texts(batch) == ["A"]


def test_one_batch_that_cannot_be_swept_holds_back_no_other(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = principal()
    platform.deployed(who, BASE_MODEL)
    world = World.on(platform)
    broken, good = world.batch("a"), world.batch("b")
    world.queues.waiting.clear()
    rest = world.store.rest

    def rested(batch: Batch, since: Any) -> Batch:
        if batch.id == broken.id:
            raise Unavailable("No.")
        return rest(batch, since)

    monkeypatch.setattr(world.store, "rest", rested)
    world.platform.clock.advance(minutes=3)
    assert world.worker.sweep() == 1
    world.work()
    assert (world.fresh(good).status, world.fresh(broken).status) == ("completed", "in_progress")


def test_a_worker_that_waits_long_for_an_answer_is_not_taken_for_dead(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "BEAT_SECONDS", 0.02)
    platform.deployed(principal(), BASE_MODEL)
    world = World.on(platform)
    batch = world.batch("a")

    def answer(question: str) -> str:
        world.engine.answer = str.upper
        for _ in range(4):
            platform.clock.advance(seconds=80)
            held = world.fresh(batch).held_until
            until = time.monotonic() + 10
            while world.fresh(batch).held_until == held and time.monotonic() < until:
                time.sleep(0.02)
            world.worker.sweep()
            world.work()
        return "late"

    world.engine.answer = answer
    world.work()
    assert world.texts(batch) == ["late"]
    assert world.engine.asked == ["a"]


def test_what_a_dead_worker_left_goes_on_within_minutes(platform: Platform) -> None:
    platform.deployed(principal(), BASE_MODEL)
    world = World.on(platform)
    batch = world.batch("a")
    now = platform.clock.moment
    target = world.worker._target(batch)
    world.store.begin(batch, target, want=1, most=16, until=now + worker.ALIVE, now=now)
    world.queues.waiting.clear()
    for _ in range(4):
        world.wait(minutes=1)
    assert world.texts(batch) == ["A"]
