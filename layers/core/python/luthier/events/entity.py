"""Events: facts in the past tense, written in the transaction of the change that they report."""

from dataclasses import dataclass
from typing import Any

from luthier import ids

# Every event that this platform reports, and when.
EVENTS = {
    "training.queued": "A job was created or restarted and waits for its turn.",
    "training.started": "The container of a job began to work.",
    "training.completed": "A job ended with a model.",
    "training.failed": "A job ended without a model; `data.reason` says why.",
    "training.stopped": "A job was stopped on request; `data.resumable` says whether it can go on.",
    "model.registered": "A model entered the registry.",
    "model.deployed": "A deployment answered its probe and takes requests.",
    "deployment.failed": "A deployment did not come up; what was made for it is removed.",
}


@dataclass(frozen=True)
class Event:
    """One fact about one organization. `created_at` is ISO 8601 UTC."""

    id: str
    type: str
    organization_id: str
    created_at: str
    data: dict[str, Any]


def event(name: str, organization_id: str, now: str, data: dict[str, Any]) -> Event:
    """A new event of the catalogue; an unknown name is a KeyError."""
    EVENTS[name]
    return Event(ids.new_id("evt"), name, organization_id, now, data)
