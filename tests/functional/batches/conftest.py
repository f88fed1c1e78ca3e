from collections.abc import Iterator
from dataclasses import replace

import moto
import pytest

from tests.factories import BASE_MODEL, SETTINGS, Platform
from tests.functional.batches.world import WHO, World
from tests.gateway import api

__all__ = ["api"]


@pytest.fixture
def world(platform: Platform) -> World:
    """A deployed model and everything that asks it in batches."""
    platform.deployed(WHO, BASE_MODEL)
    return World.on(platform)


@pytest.fixture
def billed() -> Iterator[Platform]:
    """A platform where inference is paid from credits, at a dollar per 1,000 tokens."""
    with moto.mock_aws():
        yield Platform(replace(SETTINGS, billing="on", inference_cents_per_1000_tokens=100.0))
