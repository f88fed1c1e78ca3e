"""Events: facts in the past tense, written in the transaction of the change that they report."""

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from luthier import ids


@dataclass(frozen=True)
class EventType:
    """One row of catalogue.json. `data` is a JSON Schema; `follows` names the fact that this is another name of;
    reserved: nothing reports it yet, and whoever subscribes to it gets it once something does."""

    name: str
    when: str
    data: dict[str, Any]
    example: dict[str, Any]
    follows: str | None = None
    reserved: bool = False


@dataclass(frozen=True)
class Event:
    """One fact about one organization. `created_at` is ISO 8601 UTC."""

    id: str
    type: str
    organization_id: str
    created_at: str
    data: dict[str, Any]

    def names(self) -> list["Event"]:
        """This event and the same fact under its other names, with ids that follow from this one's."""
        return [self, *(self._as(kind) for kind in catalogue().values() if kind.follows == self.type)]

    def _as(self, kind: EventType) -> "Event":
        # What OpenAI calls a fine-tuning event carries the job's id and nothing else.
        return replace(self, id=f"{self.id}_{kind.name.rpartition('.')[2]}", type=kind.name, data=thin(self.data))


@cache
def catalogue() -> dict[str, EventType]:
    """Every event that this platform knows, by name."""
    rows = json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))
    return {name: EventType(name, **row) for name, row in rows.items()}


def event(name: str, organization_id: str, now: str, data: dict[str, Any]) -> Event:
    """A new event of the catalogue; an unknown name is a KeyError."""
    catalogue()[name]
    return Event(ids.new_id("evt"), name, organization_id, now, data)


def thin(data: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's event data for a fact about a job."""
    return {"id": data["jobId"]}
