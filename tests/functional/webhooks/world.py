"""Webhooks end to end in one process: outbox → fan-out → queues → courier → a real receiver, under a test's clock."""

import itertools
from dataclasses import dataclass
from typing import Any

from luthier import table
from luthier.accounts.entity import Principal
from luthier.events import outbox
from luthier.events.entity import Event
from luthier.webhooks.address import Destinations
from luthier.webhooks.courier import Courier
from luthier.webhooks.entity import Delivery, Endpoint
from luthier.webhooks.fan_out import FanOut
from luthier.webhooks.queues import DeliveryQueues, Message
from luthier.webhooks.sender import Sender
from luthier.webhooks.service import WebhookService
from luthier.webhooks.store import WebhookStore
from tests.factories import SETTINGS, Platform, principal
from tests.fakes import FakeQueues

QUICK, SLOW, DEAD = "quick", "slow", "dead"


@dataclass
class World:
    platform: Platform
    service: WebhookService
    fan_out: FanOut
    courier: Courier
    store: WebhookStore
    queues: FakeQueues
    sender: Sender

    @classmethod
    def on(cls, platform: Platform) -> "World":
        queues, clock = FakeQueues(platform.clock), platform.clock
        mail = DeliveryQueues(queues, quick=QUICK, slow=SLOW, dead=DEAD)
        store = WebhookStore(platform.dynamodb, SETTINGS.table)
        destinations = Destinations("127.0.0.0/8")
        sender = Sender(destinations)
        return cls(
            platform=platform,
            service=WebhookService(store, mail, sender, destinations, clock),
            fan_out=FanOut(store, mail, clock),
            courier=Courier(store, mail, sender, clock),
            store=store,
            queues=queues,
            sender=sender,
        )

    def endpoint(self, url: str, *events: str, who: Principal | None = None) -> Endpoint:
        return self.service.create(who or principal(), url=url, events=list(events or "*"))

    def fresh(self, endpoint: Endpoint) -> Endpoint:
        found = self.store.get(endpoint.organization_id, endpoint.id)
        assert found is not None
        return found

    def outbox(self, organization_id: str = "org_a") -> list[Event]:
        """Every event in the outbox under each of its names, as the bus carries them, oldest first."""
        images = self.platform.dynamodb.query(
            TableName=SETTINGS.table,
            KeyConditionExpression="pk = :p AND begins_with(sk, :e)",
            ExpressionAttributeValues={":p": {"S": table.organization(organization_id)}, ":e": {"S": "EVENT#"}},
        )["Items"]
        return [named for image in images for named in outbox.read(image).names()]

    def publish(self, *events: Event) -> None:
        """Bring events, or the whole outbox, to the fan-out."""
        for event in events or self.outbox():
            self.fan_out.spread(event)

    def work(self) -> None:
        """Deliver until no message is due."""
        while any([self.batch(QUICK), self.batch(SLOW)]):
            pass

    def batch(self, queue: str) -> bool:
        bodies = self.queues.take(queue)
        if bodies:
            self.courier.deliver({str(i): Message.read(body) for i, body in enumerate(bodies)})
        return bool(bodies)

    def wait(self, **span: float) -> None:
        """Let time pass, with the sweeper's turn and all the work that is due then."""
        self.platform.clock.advance(**span)
        self.courier.sweep()
        self.work()

    def deliveries(self, endpoint: Endpoint | str) -> list[Delivery]:
        """Newest event first."""
        name = endpoint if isinstance(endpoint, str) else endpoint.id
        return list(self.store.newest("org_a", name))


_numbers = itertools.count(1)


def fact(name: str = "training.completed", organization_id: str = "org_a", **data: Any) -> Event:
    """An event that happened now, as the clock of a new platform has it."""
    known = {"jobId": "ftjob_1", "baseModel": "llama-3.1-8b", "artifact": "llama-3.1-8b-v1"}
    number = next(_numbers)
    return Event(f"evt_{number:026d}", name, organization_id, "2026-01-01T00:00:00Z", known | data)
