from collections.abc import Iterator
from dataclasses import replace

import moto
import pytest

from tests import factories
from tests.gateway import api

__all__ = ["api"]


@pytest.fixture
def billed() -> Iterator[factories.Platform]:
    """A platform where work is paid from credits, inference at one cent per 1,000 tokens."""
    settings = replace(factories.SETTINGS, billing="on", inference_cents_per_1000_tokens=1.0)
    with moto.mock_aws():
        yield factories.Platform(settings)
