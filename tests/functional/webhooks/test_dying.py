"""A function may die at any call it makes, before or after it took effect: every event still arrives."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from luthier.events.outbox import Publisher, write
from luthier.webhooks import courier
from luthier.webhooks.address import Destinations
from luthier.webhooks.courier import Courier
from luthier.webhooks.entity import Delivery
from luthier.webhooks.fan_out import FanOut
from luthier.webhooks.queues import DeliveryQueues, Message
from luthier.webhooks.sender import Sender
from luthier.webhooks.store import WebhookStore
from tests.factories import SETTINGS, Platform, principal
from tests.fakes import FakeQueues
from tests.functional.webhooks.world import DEAD, QUICK, SLOW, World, fact
from tests.receivers import OK, Receiver, answering


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """A client whose n-th call of all that share `fate` is the last thing its process does."""

    def __init__(self, client: Any, fate: "Fate") -> None:
        self._client = client
        self._fate = fate
        self.exceptions = getattr(client, "exceptions", None)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**request: Any) -> Any:
            with self._fate:
                return getattr(self._client, name)(**request)

        return call


class Fate:
    def __init__(self, nth: int, moment: str) -> None:
        self.left = nth
        self._moment = moment

    @property
    def struck(self) -> bool:
        return self.left <= 0

    def __enter__(self) -> None:
        self.left -= 1
        if self.left == 0 and self._moment == "before":
            raise Killed

    def __exit__(self, *_: object) -> None:
        if self.left == 0 and self._moment == "after":
            raise Killed


class Bus:
    """The event bus and the queue behind it: an event stays until it was spread."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def put_events(self, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        self.events += [json.loads(entry["Detail"]) for entry in Entries]
        return {"Entries": [{} for _ in Entries]}


class Chain:
    """Everything between the table's stream and the receiver, with AWS's promise to hand work out again."""

    def __init__(self, platform: Platform, queues: FakeQueues, fate: Fate, sender: Sender) -> None:
        self.platform, self.queues, self.fate = platform, queues, fate
        self.bus = Bus()
        clock = platform.clock
        store = WebhookStore(Mortal(platform.dynamodb, fate), SETTINGS.table)
        mail = DeliveryQueues(Mortal(queues, fate), quick=QUICK, slow=SLOW, dead=DEAD)
        self.publisher = Publisher(
            Mortal(self.bus, fate), "luthier", Mortal(platform.dynamodb, fate), SETTINGS.table, clock
        )
        self.fan_out = FanOut(store, mail, clock)
        self.courier = Courier(store, mail, sender, clock)

    def publish(self, image: dict[str, Any]) -> None:
        self._until_it_lives(lambda: self.publisher.publish([image]))

    def spread(self) -> None:
        from luthier.events.entity import Event

        for detail in self.bus.events:
            self._until_it_lives(lambda detail=detail: self.fan_out.spread(Event(**detail)))  # type: ignore[misc]

    def work(self) -> None:
        while any([self._batch(QUICK), self._batch(SLOW)]):
            pass

    def sweep(self) -> None:
        self._until_it_lives(self.courier.sweep)

    def _batch(self, queue: str) -> bool:
        bodies = self.queues.take(queue)
        messages = {str(i): Message.read(body) for i, body in enumerate(bodies)}
        try:
            again = self.courier.deliver(messages) if messages else []
        except Killed:
            again = list(messages)
        for name in again:
            self.queues.send_message(queue, bodies[int(name)])
        return bool(bodies)

    def _until_it_lives(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except Killed:
            work()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("healthy", [True, False], ids=["at once", "after a retry"])
def test_wherever_a_function_dies_every_event_arrives(
    moment: str, healthy: bool, platform: Platform, receiver: Receiver
) -> None:
    sender = Sender(Destinations("127.0.0.0/8"))
    admin = World.on(platform)
    nth, struck = 0, True
    while struck:
        nth += 1
        who = principal(f"org_{nth}")
        receiver.received.clear()
        endpoint = admin.endpoint(receiver.url(), who=who)
        failures = iter([answering(500)] * (0 if healthy else 1))
        receiver.answer = lambda received, failures=failures: next(failures, OK)  # type: ignore[misc]
        fate = Fate(nth, moment)
        chain = Chain(platform, FakeQueues(platform.clock), fate, sender)
        told = fact(organization_id=who.organization_id)
        row = write(told, SETTINGS.table)
        platform.dynamodb.put_item(**row["Put"])
        chain.publish(row["Put"]["Item"])
        chain.spread()
        for _ in range(3):
            chain.work()
            platform.clock.advance(minutes=15)
            chain.sweep()
        chain.work()
        struck = fate.struck
        arrived = {one.headers["webhook-id"] for one in receiver.received}
        assert arrived == {told.id, f"{told.id}_succeeded"}, f"killed {moment} call {nth}"
        states = {one.state for one in admin.store.newest(who.organization_id, endpoint.id)}
        assert states == {"delivered"}, f"killed {moment} call {nth}"
    assert nth > 10
    sender.close()
    admin.sender.close()


def test_a_message_that_was_lost_altogether_is_sent_again_by_the_sweeper(world: World, receiver: Receiver) -> None:
    world.endpoint(receiver.url())
    world.publish(fact())
    world.queues.waiting.clear()
    world.wait(minutes=5)
    assert receiver.received == []
    world.wait(minutes=6)
    assert len(receiver.received) == 1
    world.wait(minutes=60)
    assert len(receiver.received) == 1


def test_the_sweeper_takes_organizations_in_turn_and_all_that_time_allows(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy, quiet = (world.endpoint(receiver.url(), who=principal(name)) for name in ("org_noisy", "org_quiet"))
    many = [fact(organization_id="org_noisy") for _ in range(300)]
    for one in (*many, fact(organization_id="org_quiet")):
        endpoint = quiet if one.organization_id == "org_quiet" else noisy
        world.store.announce(Delivery.of(one, endpoint.id, one.created_at))
    world.platform.clock.advance(minutes=11)
    monkeypatch.setattr(courier, "_SWEEP_SECONDS", 0)
    assert world.courier.sweep() == 0
    monkeypatch.undo()
    assert world.courier.sweep() == 301
    sent = [json.loads(body)["organization_id"] for body in world.queues.take(QUICK, 301)]
    # Several threads send at once: the second in the row is among the first that each of them sends.
    assert sent.index("org_quiet") < 80


def test_one_delivery_that_cannot_be_swept_holds_back_no_other(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.endpoint(receiver.url())
    broken, good = fact(), fact()
    world.publish(broken, good)
    world.queues.waiting.clear()
    world.platform.clock.advance(minutes=11)
    read = world.store.delivery

    def delivery(*address: str) -> Delivery | None:
        if address[2] == broken.id:
            raise ValueError(address)
        return read(*address)

    monkeypatch.setattr(world.store, "delivery", delivery)
    assert world.courier.sweep() == 1
    world.work()
    assert [one.headers["webhook-id"] for one in receiver.received] == [good.id]


def test_an_event_that_is_spread_twice_is_delivered_once(world: World, receiver: Receiver) -> None:
    world.endpoint(receiver.url())
    told = fact()
    world.publish(told)
    world.work()
    world.publish(told)
    world.work()
    assert len(receiver.received) == 1


def test_an_event_that_cannot_be_spread_comes_again_and_the_others_do_not(world: World, receiver: Receiver) -> None:
    world.endpoint(receiver.url())
    world.queues.unavailable = True
    told = fact()
    assert world.fan_out.spread_all({"m1": told}) == ["m1"]
    world.queues.unavailable = False
    assert world.fan_out.spread_all({"m1": told}) == []
    world.work()
    assert len(receiver.received) == 1


def test_two_messages_about_one_try_write_one_outcome(world: World, receiver: Receiver) -> None:
    endpoint = world.endpoint(receiver.url())
    world.publish(fact())
    (body,) = world.queues.take(QUICK)
    again = world.courier.deliver({"1": Message.read(body), "2": Message.read(body)})
    assert again == []
    assert [len(one.attempts) for one in world.deliveries(endpoint)] == [1]
