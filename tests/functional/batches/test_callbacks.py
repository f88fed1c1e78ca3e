"""Who gave a callback hears, by a signed POST, how a batch has ended; whatever the ending."""

import json
from collections.abc import Iterator
from dataclasses import replace

import jsonschema
import moto
import pytest

from luthier.errors import InvalidRequest
from luthier.events.entity import catalogue
from luthier.webhooks import signing
from luthier.webhooks.entity import CALLBACKS
from tests.factories import BASE_MODEL, SETTINGS, Platform
from tests.functional.batches.world import WHO, World, requests
from tests.functional.webhooks.world import World as Webhooks
from tests.receivers import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().running() as receiver:
        yield receiver


@pytest.fixture
def open_world() -> Iterator[World]:
    """A platform whose operator lets webhooks reach this machine."""
    with moto.mock_aws():
        platform = Platform(replace(SETTINGS, webhook_private_networks="127.0.0.0/8"))
        platform.deployed(WHO, BASE_MODEL)
        yield World.on(platform)


@pytest.mark.parametrize("ending", ["completed", "cancelled", "expired"])
def test_the_callback_of_a_batch_hears_how_it_ended(open_world: World, receiver: Receiver, ending: str) -> None:
    webhooks = Webhooks.on(open_world.platform)
    batch = open_world.batch("a", "b", callback_url=receiver.url("/mine"))
    open_world.batch("c")
    if ending == "cancelled":
        open_world.service.cancel(WHO, batch.id, "requests")
    if ending == "expired":
        open_world.platform.clock.advance(hours=25)
    open_world.work()
    webhooks.publish()
    webhooks.work()
    [received] = receiver.received
    body = json.loads(received.body)
    assert (received.path, body["event"]) == ("/mine", f"batch.{ending}")
    done = 2 if ending == "completed" else 0
    assert body["data"] == {"batchId": batch.id, "total": 2, "succeeded": done, "failed": 0}
    jsonschema.validate(body["data"], catalogue()[body["event"]].data)
    secret = webhooks.service.get(WHO, CALLBACKS).secrets[0]["secret"]
    stamp = int(received.headers["webhook-timestamp"])
    signing.verify(secret, received.headers, received.body, now=stamp, tolerance=0)
    webhooks.sender.close()


def test_the_callback_of_a_run_names_its_endpoint_too(open_world: World, receiver: Receiver) -> None:
    webhooks = Webhooks.on(open_world.platform)
    body = requests("hello")[0]["body"]
    run = open_world.service.run(WHO, BASE_MODEL, body, callback_url=receiver.url("/run"), priority="high")
    open_world.work()
    webhooks.publish()
    webhooks.work()
    [received] = receiver.received
    told = json.loads(received.body)["data"]
    assert told == {"batchId": run.id, "endpointId": BASE_MODEL, "total": 1, "succeeded": 1, "failed": 0}
    jsonschema.validate(told, catalogue()["batch.completed"].data)
    webhooks.sender.close()


@pytest.mark.parametrize("url", ["http://example.com/", "https://169.254.169.254/", "https://[::1]/", "ftp://x/"])
def test_a_callback_may_not_lead_into_the_platforms_own_network(world: World, url: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        world.batch("a", callback_url=url)
    assert refused.value.param == "webhookUrl"
    assert world.objects() == []
