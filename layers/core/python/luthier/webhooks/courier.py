"""Carrying deliveries to their receivers, and looking after those whose message was lost.

A message is done once its outcome is written. A process that dies before that leaves the message to another, which
sends again: every delivery happens at least once.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from math import ceil
from typing import Any

from luthier import clock, table
from luthier.events.entity import Event, event
from luthier.webhooks import payload, signing
from luthier.webhooks.address import origin_of
from luthier.webhooks.entity import CALLBACKS, DISABLED, EXHAUSTED, PENDING, SLOW_FOR, Attempt, Delivery, Endpoint
from luthier.webhooks.fan_out import message_of
from luthier.webhooks.queues import DeliveryQueues, Message
from luthier.webhooks.sender import Outcome, Post, Sender
from luthier.webhooks.store import LONGEST_DELAY, Address, Overdue, WebhookStore

logger = logging.getLogger(__name__)
# What one sweep sees of the backlog, and how long it sends, of the minute that its function has.
_SWEPT, _SWEEP_SECONDS = 100_000, 40
_SWEEPERS, _SWEPT_TOGETHER = 8, 10


@dataclass(frozen=True)
class _Errand:
    """One message with what it is about, as it stood when the batch was read."""

    message: Message
    delivery: Delivery
    endpoint: Endpoint

    @property
    def url(self) -> str:
        return self.delivery.url or self.endpoint.url or ""


class Courier:
    def __init__(
        self, store: WebhookStore, queues: DeliveryQueues, sender: Sender, now: clock.Clock = clock.now
    ) -> None:
        self._store = store
        self._queues = queues
        self._sender = sender
        self._now = now

    def deliver(self, messages: Mapping[str, Message]) -> list[str]:
        """Handle a batch, all at once; the names of the messages that have to come again."""
        deliveries, endpoints = self._store.load({_address(message) for message in messages.values()})
        return self._sender.run(self._deliver(messages, deliveries, endpoints))

    def sweep(self) -> int:
        """Send messages for what is due and has none on its way: organizations in turn, while time allows; how many."""
        now, end = self._now(), time.monotonic() + _SWEEP_SECONDS
        overdue = list(in_turn(islice(self._store.overdue(now), _SWEPT)))
        parts = (overdue[start : start + _SWEPT_TOGETHER] for start in range(0, len(overdue), _SWEPT_TOGETHER))
        with ThreadPoolExecutor(_SWEEPERS) as threads:
            return sum(threads.map(lambda part: self._sweep(part, now, end), parts))

    def _sweep(self, part: Iterable[Overdue], now: datetime, end: float) -> int:
        if time.monotonic() >= end:
            return 0
        messages = []
        for address, seen in part:
            try:
                delivery = self._store.delivery(*address)
                # First the later moment, then the message: what dies in between comes up again.
                if delivery and delivery.state == PENDING and self._store.postpone(address, seen, now):
                    messages.append(message_of(delivery, slow=False))
            except Exception:
                # One that cannot be read must not hold back the others; it comes up again.
                logger.exception("Delivery %s was not swept.", "/".join(address))
        self._queues.send(messages)
        return len(messages)

    async def _deliver(
        self,
        messages: Mapping[str, Message],
        deliveries: dict[Address, Delivery],
        endpoints: dict[tuple[str, str], Endpoint],
    ) -> list[str]:
        names, errands = [], []
        for name, message in messages.items():
            delivery = deliveries.get(_address(message))
            # A stale message: somebody else has brought the delivery further, or it has expired.
            if delivery is None or delivery.state != PENDING or delivery.tries != message.tries:
                continue
            endpoint = endpoints.get((message.organization_id, message.endpoint_id))
            names.append(name)
            errands.append(self._run(message, delivery, endpoint))
        results = await asyncio.gather(*errands, return_exceptions=True)
        failed = [(name, result) for name, result in zip(names, results, strict=True) if result is not None]
        for name, error in failed:
            logger.error("Message %s comes again: %r", name, error)
        return [name for name, _ in failed]

    async def _run(self, message: Message, delivery: Delivery, endpoint: Endpoint | None) -> None:
        if endpoint is None or endpoint.status == DISABLED:
            await asyncio.to_thread(self._cancel, delivery, endpoint)
        elif not message.slow and endpoint.is_slow(self._now()):
            await asyncio.to_thread(self._queues.send, [message_of(delivery, slow=True)])
        else:
            errand = _Errand(message, delivery, endpoint)
            attempt, outcome = await self._attempt(errand)
            await asyncio.to_thread(self._record, errand, attempt, outcome)

    async def _attempt(self, errand: _Errand) -> tuple[Attempt, Outcome]:
        now = self._now()
        try:
            post = draw(errand.delivery, errand.endpoint, errand.url, now, errand.message.seconds)
            outcome = await self._sender.send(post)
        except Exception as error:
            # A try like any other: it is counted, shown and in the end given up, and the batch goes on.
            logger.exception("A try of delivery %s broke.", errand.delivery.event_id)
            outcome = Outcome(0, error=f"The request could not be made: {type(error).__name__}.")
        return attempt_of(errand.url, now, outcome), outcome

    def _record(self, errand: _Errand, attempt: Attempt, outcome: Outcome) -> None:
        try:
            if outcome.timed_out and not errand.message.slow:
                self._hand_over(errand, attempt)
            elif attempt.succeeded:
                self._succeed(errand, attempt)
            else:
                self._fail(errand, attempt)
        except table.ConditionFailed:
            # Two messages about one try, or a replay meanwhile: the other one's word stands.
            logger.info("Delivery %s was brought further by another.", errand.delivery.event_id)

    def _hand_over(self, errand: _Errand, attempt: Attempt) -> None:
        """Let the slow lane repeat the try, and everybody know that this endpoint takes its time."""
        patient = errand.delivery.impatient(attempt)
        self._store.save(errand.delivery, patient, travelling=True)
        if errand.endpoint.id != CALLBACKS:
            self._store.note(errand.endpoint, slow_until=clock.iso(self._now() + SLOW_FOR))
        self._queues.send([message_of(patient, slow=True)])

    def _succeed(self, errand: _Errand, attempt: Attempt) -> None:
        self._store.save(errand.delivery, errand.delivery.after(attempt, self._now()), travelling=False)
        if errand.endpoint.failing_since:
            self._store.note(errand.endpoint, failing_since=None, failed_days=[])

    def _fail(self, errand: _Errand, attempt: Attempt) -> None:
        new = errand.delivery.after(attempt, self._now())
        if new.state == EXHAUSTED:
            # Buried before it is written: what dies in between is buried twice, never forgotten.
            self._queues.bury(errand.message, new.reason)
            self._store.save(errand.delivery, new, travelling=False, fact=self._exhausted(new, errand.url))
        else:
            self._retry(errand.delivery, new)
        self._judge(errand.endpoint)

    def _retry(self, old: Delivery, new: Delivery) -> None:
        """By a delayed message where SQS delays so long, else by the sweeper."""
        # Stored moments have whole seconds; nobody is tried earlier than promised for that.
        delay = ceil((clock.parse(new.next_attempt_at or "") - self._now()).total_seconds())
        soon = delay <= LONGEST_DELAY
        self._store.save(old, new, travelling=soon)
        if soon:
            self._queues.send([message_of(new, slow=False)], delay=max(delay, 0))

    def _judge(self, endpoint: Endpoint) -> None:
        """After a failure: note the first one of a day, and disable who has taken nothing for too long."""
        now = self._now()
        if endpoint.id == CALLBACKS:
            return
        failed = endpoint.failed(now)
        if failed is not endpoint:
            self._store.note(endpoint, failing_since=failed.failing_since, failed_days=failed.failed_days)
        if failed.failed_too_long(now):
            reason = f"Every try since {endpoint.failing_since} has failed."
            url = origin_of(endpoint.url or "")
            facts = {"webhookId": endpoint.id, "url": url, "failingSince": endpoint.failing_since}
            told = event("webhook.disabled", endpoint.organization_id, clock.iso(now), facts)
            self._store.put(endpoint, endpoint.disabled(clock.iso(now), reason), told)

    def _exhausted(self, delivery: Delivery, url: str) -> Event | None:
        # An endpoint that hears of webhooks only must not hear of its own silence for ever.
        if delivery.event_type.startswith("webhook."):
            return None
        facts: dict[str, Any] = {"webhookId": delivery.endpoint_id, "url": origin_of(url)}
        facts |= {"deliveryId": delivery.event_id, "event": delivery.event_type}
        facts |= {"tries": delivery.tries, "error": delivery.reason}
        return event("webhook.delivery_exhausted", delivery.organization_id, clock.iso(self._now()), facts)

    def _cancel(self, delivery: Delivery, endpoint: Endpoint | None) -> None:
        reason = "The endpoint is disabled." if endpoint else "The endpoint was deleted."
        try:
            self._store.save(delivery, delivery.cancelled(self._now(), reason), travelling=False)
        except table.ConditionFailed:
            logger.info("Delivery %s was brought further by another.", delivery.event_id)


def in_turn(overdue: Iterable[Overdue]) -> Iterator[Overdue]:
    """One of each organization, then the next of each: who has many makes nobody wait for more than one."""
    by_organization: dict[str, deque[Overdue]] = {}
    for entry in overdue:
        by_organization.setdefault(entry[0][0], deque()).append(entry)
    waiting = deque(by_organization.values())
    while waiting:
        own = waiting.popleft()
        yield own.popleft()
        if own:
            waiting.append(own)


def draw(delivery: Delivery, endpoint: Endpoint, url: str, now: Any, seconds: float) -> Post:
    """The signed request of one attempt."""
    body = payload.body(delivery, clock.iso(now))
    signed = signing.headers(delivery.event_id, delivery.event_type, int(now.timestamp()), body, endpoint.keys(now))
    sent = {"Content-Type": "application/json", **signed}
    return Post(url, sent, body, seconds, delivery.organization_id)


def attempt_of(url: str, now: Any, outcome: Outcome) -> Attempt:
    return Attempt(clock.iso(now), url, outcome.milliseconds, outcome.status, outcome.error, outcome.text)


def _address(message: Message) -> Address:
    return message.organization_id, message.endpoint_id, message.event_id
