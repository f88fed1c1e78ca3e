import pytest

from tests.factories import Platform
from tests.functional.uploads.world import World


@pytest.fixture
def world(platform: Platform) -> World:
    return World(platform)
