"""Sending again what was sent since a time: all of it, part by part, each delivery once."""

from typing import Any

import pytest

from luthier.errors import Unprocessable
from luthier.webhooks import service, store
from luthier.webhooks.entity import Endpoint, Replayed
from tests.factories import principal
from tests.functional.webhooks.world import World, fact
from tests.receivers import Receiver

A = principal("org_a")
START = "2026-01-01T00:00:00Z"


@pytest.fixture
def endpoint(world: World, receiver: Receiver) -> Endpoint:
    """Got seven events; one call takes three."""
    endpoint = world.endpoint(receiver.url())
    world.publish(*[fact() for _ in range(7)])
    world.work()
    receiver.received.clear()
    return endpoint


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MOST_REPLAYED", 3)


def parts(world: World, endpoint: Endpoint, **more: Any) -> list[Replayed]:
    """What each call says when every one goes on where the one before ended; all messages are delivered in between."""
    found = [world.service.replay_since(A, endpoint.id, since=START, **more)]
    while found[-1].last_id:
        world.work()
        found.append(world.service.replay_since(A, endpoint.id, since=START, after=found[-1].last_id, **more))
    world.work()
    return found


def test_a_replay_goes_on_where_the_call_before_ended_until_everything_was_sent_once(
    world: World, endpoint: Endpoint, receiver: Receiver
) -> None:
    assert [part.count for part in parts(world, endpoint)] == [3, 3, 1]
    sent = [one.headers["webhook-id"] for one in receiver.received]
    assert sorted(sent) == sorted(one.event_id for one in world.deliveries(endpoint))


def test_what_happens_during_a_replay_is_not_part_of_it(world: World, endpoint: Endpoint, receiver: Receiver) -> None:
    first = world.service.replay_since(A, endpoint.id, since=START)
    world.publish(fact())
    world.work()
    receiver.received.clear()
    world.service.replay_since(A, endpoint.id, since=START, after=first.last_id)
    world.work()
    assert len(receiver.received) == 3


def test_a_call_that_finds_little_to_send_ends_before_the_gateway_does(
    world: World, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_LOOKED_AT", 5)
    found = parts(world, endpoint, states=("exhausted",))
    assert ([part.count for part in found], [part.last_id is None for part in found]) == ([0, 0], [False, True])


def test_what_happens_while_an_endpoint_is_disabled_is_kept_for_a_replay(world: World, receiver: Receiver) -> None:
    endpoint = world.endpoint(receiver.url(), "training.completed")
    world.service.update(A, endpoint.id, enabled=False)
    missed = fact()
    world.publish(missed, missed, fact("training.started"))
    world.wait(hours=1)
    (skipped,) = world.deliveries(endpoint)
    assert (skipped.state, skipped.reason, skipped.tries) == ("skipped", "The endpoint is disabled.", 0)
    assert receiver.received == []
    world.service.update(A, endpoint.id, enabled=True)
    world.publish(missed)
    world.wait(hours=1)
    assert receiver.received == []
    assert world.service.replay_since(A, endpoint.id, since=START, states=("skipped",)).count == 1
    world.work()
    assert [one.headers["webhook-id"] for one in receiver.received] == [missed.id]
    assert [one.state for one in world.deliveries(endpoint)] == ["delivered"]


def test_a_page_of_the_log_looks_at_so_many_deliveries_and_says_where_it_stopped(
    world: World, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MOST_LOOKED_AT", 3)
    ids = [one.event_id for one in world.deliveries(endpoint)]
    ends, after = [], None
    while True:
        page = world.service.deliveries(A, endpoint.id, limit=5, after=after, state="exhausted")
        assert page.items == []
        ends.append(after := page.last_id)
        if after is None:
            break
    assert ends == [ids[2], ids[5], None]


def test_a_test_event_is_marked_as_one_and_sent_once(world: World, receiver: Receiver) -> None:
    endpoint = world.endpoint(receiver.url())
    tested, _ = world.service.test(A, endpoint.id, "training.completed")
    assert [one.test for one in world.deliveries(endpoint)] == [True]
    assert world.service.replay_since(A, endpoint.id, since=START).count == 0
    with pytest.raises(Unprocessable, match="test event"):
        world.service.replay(A, endpoint.id, tested.event_id)
    world.work()
    assert len(receiver.received) == 1
