"""One cloud for the whole tier, and copies of its first state for tests that kill theirs."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.journey.customer import Customer
from tests.journey.local_cloud import LocalCloud


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> LocalCloud:
    """A deployed cloud, stopped: the others are copies of it, so the stack is deployed once."""
    cloud = LocalCloud(tmp_path_factory.mktemp("seeded"))
    cloud.start()
    cloud.stop()
    return cloud


@pytest.fixture(scope="session")
def cloud(seeded: LocalCloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """The running cloud that tests share."""
    yield from _running(seeded.copy(tmp_path_factory.mktemp("shared") / "state"))


@pytest.fixture
def mortal_cloud(seeded: LocalCloud, tmp_path: Path) -> Iterator[LocalCloud]:
    """A running cloud of the test's own, to be killed."""
    yield from _running(seeded.copy(tmp_path / "state"))


def _running(cloud: LocalCloud) -> Iterator[LocalCloud]:
    cloud.start()
    try:
        yield cloud
    finally:
        cloud.stop()


@pytest.fixture
def api(cloud: LocalCloud) -> Iterator[httpx.Client]:
    with cloud.http() as client:
        yield client


@pytest.fixture
def customer(api: httpx.Client) -> Customer:
    return Customer(api)
