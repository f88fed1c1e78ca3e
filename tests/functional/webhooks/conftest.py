from collections.abc import Iterator

import pytest

from luthier.webhooks import queues
from tests.factories import Platform
from tests.functional.webhooks.world import World
from tests.gateway import api
from tests.receivers import Receiver

__all__ = ["api"]


@pytest.fixture
def world(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Impatient: a quick try ends after a fifth of a second, a patient one after half of one."""
    monkeypatch.setattr(queues, "QUICK_SECONDS", 0.2)
    monkeypatch.setattr(queues, "SLOW_SECONDS", 0.5)
    world = World.on(platform)
    yield world
    world.sender.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().running() as receiver:
        yield receiver
