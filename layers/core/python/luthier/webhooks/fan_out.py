"""From one event to one delivery for each endpoint that wants it."""

import logging
from collections.abc import Iterator, Mapping

from luthier import clock, table
from luthier.events.entity import Event
from luthier.webhooks import signing
from luthier.webhooks.entity import CALLBACK_EVENTS, CALLBACKS, DISABLED, PENDING, Delivery, Endpoint
from luthier.webhooks.queues import DeliveryQueues, Message
from luthier.webhooks.store import WebhookStore

logger = logging.getLogger(__name__)


class FanOut:
    """Safe to repeat: a delivery is named by its event, and announced once."""

    def __init__(self, store: WebhookStore, queues: DeliveryQueues, now: clock.Clock = clock.now) -> None:
        self._store = store
        self._queues = queues
        self._now = now

    def spread_all(self, events: Mapping[str, Event]) -> list[str]:
        """Spread a batch; the names of the events that have to come again."""
        failed = []
        for name, event in events.items():
            try:
                self.spread(event)
            except Exception:
                # One event that cannot be spread must not hold back the others of its batch.
                logger.exception("Event %s comes again.", event.id)
                failed.append(name)
        return failed

    def spread(self, event: Event) -> list[Delivery]:
        """Announce the deliveries of an event and send their messages; those that are new or never got theirs."""
        endpoints = {endpoint.id: endpoint for endpoint in self._store.endpoints(event.organization_id)}
        drawn = list(self._drawn(event, endpoints))
        if any(delivery.endpoint_id == CALLBACKS for delivery in drawn) and CALLBACKS not in endpoints:
            self._found_callbacks(event.organization_id)
        announced = [delivery for delivery in drawn if self._announce(delivery) and delivery.state == PENDING]
        slow = {id_ for id_, endpoint in endpoints.items() if endpoint.is_slow(self._now())}
        self._queues.send(message_of(delivery, slow=delivery.endpoint_id in slow) for delivery in announced)
        return announced

    def _drawn(self, event: Event, endpoints: dict[str, Endpoint]) -> Iterator[Delivery]:
        moment = self._now()
        now = clock.iso(moment)
        for endpoint in endpoints.values():
            if endpoint.url and endpoint.wants(event.type):
                delivery = Delivery.of(event, endpoint.id, now)
                yield delivery.skipped(moment) if endpoint.status == DISABLED else delivery
        if event.type in CALLBACK_EVENTS and (url := self._store.callback_url(event)):
            yield Delivery.of(event, CALLBACKS, now, url)

    def _found_callbacks(self, organization_id: str) -> None:
        try:
            self._store.put(None, callbacks(organization_id, clock.iso(self._now())))
        except table.ConditionFailed:
            return  # another event of the organization was faster

    def _announce(self, delivery: Delivery) -> bool:
        """Write it down. One that is there already and untouched may have lost its message to a crash right here."""
        if self._store.announce(delivery):
            return True
        known = self._store.delivery(delivery.organization_id, delivery.endpoint_id, delivery.event_id)
        return known is not None and known.state == PENDING and known.version == 1


def callbacks(organization_id: str, now: str) -> Endpoint:
    """What signs the requests to the `webhookUrl` of an organization's jobs. Nobody has seen its secret yet."""
    secret = {"secret": signing.new_secret(), "expires_at": None, "unseen": True}
    return Endpoint(CALLBACKS, organization_id, "webhookUrl of jobs", None, [*CALLBACK_EVENTS], [secret], now, now)


def message_of(delivery: Delivery, *, slow: bool) -> Message:
    return Message(delivery.organization_id, delivery.endpoint_id, delivery.event_id, delivery.tries, slow)
