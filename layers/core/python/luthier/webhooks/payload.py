"""The body of a webhook. Each attempt says when it was made, so the same attempt always has the same bytes."""

import json
from typing import Any

from luthier import clock
from luthier.webhooks.entity import Delivery

# The four events whose data the tuning surface's page shows, and what it shows of them.
_PAGE_EVENTS = ("training.started", "training.completed", "training.failed", "model.deployed")
_PAGE_FIELDS = ("jobId", "baseModel", "artifact")


def body(delivery: Delivery, at: str) -> bytes:
    """What is posted at a moment: `{event, data, deliveredAt}`, or OpenAI's thin object for OpenAI's events."""
    return json.dumps(content(delivery, at), separators=(",", ":"), ensure_ascii=False).encode()


def content(delivery: Delivery, at: str) -> dict[str, Any]:
    if delivery.event_type.startswith("fine_tuning."):
        return {
            "id": delivery.event_id,
            "object": "event",
            "created_at": clock.epoch(delivery.event_at),
            "type": delivery.event_type,
            "data": delivery.data,
        }
    return {"event": delivery.event_type, "data": _shown(delivery), "deliveredAt": at}


def _shown(delivery: Delivery) -> dict[str, Any]:
    if delivery.event_type not in _PAGE_EVENTS:
        return delivery.data
    shown = {name: delivery.data.get(name) for name in _PAGE_FIELDS}
    # The page has no example of a failure; without the reason its receiver could do nothing.
    return shown | {"error": delivery.data["reason"]} if delivery.event_type == "training.failed" else shown
