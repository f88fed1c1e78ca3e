"""The transactional outbox: events wait in the table, the stream carries them to the bus."""

import json
from dataclasses import asdict
from typing import Any

from luthier import clock, table
from luthier.events.entity import Event

# Long enough to replay a week by hand; the stream has read them within seconds.
KEPT_SECONDS = 7 * 24 * 3600
_BATCH = 10  # PutEvents takes at most ten entries


def write(event: Event, table_name: str) -> dict[str, Any]:
    """The write that puts an event into the outbox, to be part of the change's transaction."""
    item = (
        table.key(event.organization_id, table.event(event.id))
        | asdict(event)
        | {"ttl": clock.epoch(event.created_at) + KEPT_SECONDS}
    )
    return {"Put": {"TableName": table_name, "Item": table.encode(item)}}


class Publisher:
    """Puts outbox events on the custom bus as `source=luthier, detail-type=<name>`."""

    def __init__(self, client: Any, bus: str) -> None:
        self._client = client
        self._bus = bus

    def publish(self, images: list[dict[str, Any]]) -> list[int]:
        """Publish new stream images; the positions of those that the bus did not take."""
        failed = []
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            answer = self._client.put_events(Entries=[self._entry(table.decode(image)) for image in batch])
            failed += [start + i for i, entry in enumerate(answer["Entries"]) if entry.get("ErrorCode")]
        return failed

    def _entry(self, item: table.Item) -> dict[str, Any]:
        detail = {name: item[name] for name in Event.__dataclass_fields__}
        return {
            "EventBusName": self._bus,
            "Source": "luthier",
            "DetailType": item["type"],
            "Detail": json.dumps(detail),
            "Time": clock.parse(item["created_at"]),
        }
