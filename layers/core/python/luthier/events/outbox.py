"""The transactional outbox: events wait in the table, the stream carries them to the bus.

An event stands in the index of live work until the bus has taken it. What the stream's tries did not bring there, the
sweeper does.
"""

import json
import logging
from dataclasses import asdict
from datetime import timedelta
from itertools import islice
from typing import Any

from luthier import clock, items, table
from luthier.events.entity import Event

logger = logging.getLogger(__name__)

NOUN = "EVENT"
# Long enough to replay a week by hand. Counted from the publishing: what was never published never expires.
KEPT_SECONDS = 7 * 24 * 3600
# Longer than the stream tries.
LATE = timedelta(minutes=15)
_BATCH = 10  # PutEvents takes at most ten entries
_TOGETHER = 100  # and a transaction at most a hundred
_SWEPT = 1_000


def write(event: Event, table_name: str, callback_url: str | None = None) -> dict[str, Any]:
    """The write that puts an event into the outbox, to be part of the change's transaction.

    callback_url: the `webhookUrl` that hears of it too. It stays in the table, because others may read the bus, and it
    lies here, because its job may be deleted before anybody is told.
    """
    item = (
        table.key(event.organization_id, table.event(event.id))
        | asdict(event)
        | {"callback_url": callback_url}
        | {table.LIVE.partition_key: table.live(NOUN), table.LIVE.sort_key: event.created_at}
    )
    return {"Put": {"TableName": table_name, "Item": table.encode(item)}}


class Publisher:
    """Puts outbox events on the custom bus as `source=luthier, detail-type=<name>`, under each of their names."""

    def __init__(self, client: Any, bus: str, dynamodb: Any, table_name: str, now: clock.Clock = clock.now) -> None:
        self._client = client
        self._bus = bus
        self._dynamodb = dynamodb
        self._table = table_name
        self._now = now

    def publish(self, images: list[dict[str, Any]]) -> list[int]:
        """Publish new stream images; the positions of those that the bus did not take whole."""
        events = [read(image) for image in images]
        failed = self._put(events)
        self._let_go([event for position, event in enumerate(events) if position not in failed])
        return sorted(failed)

    def sweep(self) -> int:
        """Publish what has waited longer than the stream tries, oldest first; how many."""
        published = 0
        late = clock.iso(self._now() - LATE)
        for image in islice(items.due_items(self._dynamodb, self._table, NOUN, late), _SWEPT):
            try:
                published += not self.publish([image])
            except Exception:
                # One that cannot be published must not hold back the others; it comes up again.
                logger.exception("Event %s was not published.", image["id"]["S"])
        return published

    def _put(self, events: list[Event]) -> set[int]:
        entries = [(i, self._entry(named)) for i, event in enumerate(events) for named in event.names()]
        failed: set[int] = set()
        for start in range(0, len(entries), _BATCH):
            batch = entries[start : start + _BATCH]
            answer = self._client.put_events(Entries=[entry for _, entry in batch])
            results = zip(batch, answer["Entries"], strict=True)
            failed |= {position for (position, _), result in results if result.get("ErrorCode")}
        return failed

    def _let_go(self, events: list[Event]) -> None:
        """Take published events out of the index, many in one call. What dies before that publishes them again."""
        released = {event.id: self._release(event) for event in events}
        waiting = list(released.values())
        for start in range(0, len(waiting), _TOGETHER):
            part = waiting[start : start + _TOGETHER]
            try:
                self._dynamodb.transact_write_items(TransactItems=part)
            except self._dynamodb.exceptions.TransactionCanceledException:
                # One of them was published a second time, long after the first, or the sweeper has it in hand.
                for update in part:
                    self._let_one_go(update["Update"])

    def _let_one_go(self, update: dict[str, Any]) -> None:
        try:
            self._dynamodb.update_item(**update)
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return

    def _release(self, event: Event) -> dict[str, Any]:
        return {
            "Update": {
                "TableName": self._table,
                "Key": table.encode(table.key(event.organization_id, table.event(event.id))),
                "UpdateExpression": f"SET #ttl = :ttl REMOVE {table.LIVE.partition_key}, {table.LIVE.sort_key}",
                "ConditionExpression": "attribute_exists(pk)",
                "ExpressionAttributeNames": {"#ttl": "ttl"},
                "ExpressionAttributeValues": table.encode({":ttl": int(self._now().timestamp()) + KEPT_SECONDS}),
            }
        }

    def _entry(self, event: Event) -> dict[str, Any]:
        return {
            "EventBusName": self._bus,
            "Source": "luthier",
            "DetailType": event.type,
            "Detail": json.dumps(asdict(event)),
            "Time": clock.parse(event.created_at),
        }


def read(image: dict[str, Any]) -> Event:
    """The event in an item of the outbox, as the table's stream shows it."""
    item = table.decode(image)
    return Event(**{name: item[name] for name in Event.__dataclass_fields__})
