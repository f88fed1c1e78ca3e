"""What the tests of the registry need: many models at once, and a count of what a call costs."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from luthier.models.entity import Model
from tests.factories import Platform, principal

A, B = principal("org_a"), principal("org_b")


def model(platform: Platform, **request: Any) -> Model:
    """A model of a job of its own, made a minute after the one before."""
    platform.clock.advance(minutes=1)
    found = platform.models.of_job(platform.completed(A, **request))
    assert found is not None
    return found


def some(platform: Platform, count: int) -> list[Model]:
    """Models, oldest first; only the first has a job, and the others are copies of it."""
    made = [model(platform)]
    return made + [copy(platform, made[0]) for _ in range(1, count)]


def copy(platform: Platform, of: Model, **changes: Any) -> Model:
    from luthier import clock, ids
    from luthier.events.entity import event

    platform.clock.advance(minutes=1)
    now = clock.iso(platform.clock())
    unique = ids.new_id("model")
    own = {"id": unique, "family": unique, "names": [unique.replace("_", "-")], "name": unique.replace("_", "-")}
    new = replace(of, **own | {"created_at": now, "updated_at": now, "job_id": unique, "writes": 1} | changes)
    facts = {"modelId": new.id, "name": new.name, "jobId": new.job_id, "baseModel": new.base_model}
    assert platform.model_store.create(new, event("model.registered", new.organization_id, now, facts))
    return new


def deployed(platform: Platform, of: Model, status: str = "active", name: str = "ep_1") -> Model:
    facts = {"name": name, "environment": "production", "status": status, "workers": 1, "created_at": of.created_at}
    return platform.model_store.save(of, of.linked(name, facts))


def fresh(platform: Platform, of: Model) -> Model:
    found = platform.model_store.get(of.organization_id, of.id)
    assert found is not None
    return found


@contextlib.contextmanager
def calls(platform: Platform) -> Iterator[list[str]]:
    """The DynamoDB operations that run inside the block."""
    seen: list[str] = []
    register = platform.dynamodb.meta.events
    register.register("before-call.dynamodb", lambda model, **_: seen.append(model.name), unique_id="count")
    yield seen
    register.unregister("before-call.dynamodb", unique_id="count")
