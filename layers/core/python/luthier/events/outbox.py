"""The transactional outbox: events wait in the table, the stream carries them to the bus."""

import json
from dataclasses import asdict
from typing import Any

from luthier import clock, table
from luthier.events.entity import Event

# Long enough to replay a week by hand; the stream has read them within seconds.
KEPT_SECONDS = 7 * 24 * 3600
_BATCH = 10  # PutEvents takes at most ten entries


def write(event: Event, table_name: str, callback_url: str | None = None) -> dict[str, Any]:
    """The write that puts an event into the outbox, to be part of the change's transaction.

    callback_url: the `webhookUrl` that hears of it too. It stays in the table, because others may read the bus, and it
    lies here, because its job may be deleted before anybody is told.
    """
    item = (
        table.key(event.organization_id, table.event(event.id))
        | asdict(event)
        | {"callback_url": callback_url, "ttl": clock.epoch(event.created_at) + KEPT_SECONDS}
    )
    return {"Put": {"TableName": table_name, "Item": table.encode(item)}}


class Publisher:
    """Puts outbox events on the custom bus as `source=luthier, detail-type=<name>`, under each of their names."""

    def __init__(self, client: Any, bus: str) -> None:
        self._client = client
        self._bus = bus

    def publish(self, images: list[dict[str, Any]]) -> list[int]:
        """Publish new stream images; the positions of those that the bus did not take whole."""
        entries = [(i, self._entry(one)) for i, image in enumerate(images) for one in read(image).names()]
        failed: set[int] = set()
        for start in range(0, len(entries), _BATCH):
            batch = entries[start : start + _BATCH]
            answer = self._client.put_events(Entries=[entry for _, entry in batch])
            results = zip(batch, answer["Entries"], strict=True)
            failed |= {position for (position, _), result in results if result.get("ErrorCode")}
        return sorted(failed)

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
