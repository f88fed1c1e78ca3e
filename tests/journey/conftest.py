"""One cloud for the whole tier, and copies of its first state for tests that kill theirs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.container.hub import LocalHub
from tests.journey.customer import SHORT, Customer
from tests.journey.local_cloud import MODEL, LocalCloud


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    """The model hub of every cloud here; its folder is empty until `completed` puts the tiny model there."""
    with LocalHub(tmp_path_factory.mktemp("hub"), f"luthier/{MODEL}").serving() as hub:
        yield hub


@pytest.fixture(scope="session")
def first_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared cloud's state is copied to as soon as it is ready: nobody deploys twice."""
    return tmp_path_factory.mktemp("first") / "state"


@pytest.fixture(scope="session")
def cloud(hub: LocalHub, first_state: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """The running cloud that tests share."""
    cloud = LocalCloud(tmp_path_factory.mktemp("shared"), hub.url)
    cloud.start()
    try:
        cloud.copy_state(first_state)
        yield cloud
    finally:
        cloud.stop()


@pytest.fixture(scope="module")
def mortal_cloud(
    cloud: LocalCloud, first_state: Path, hub: LocalHub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalCloud]:
    """A running cloud to be killed. It begins with what the shared one had saved while it ran, as after a kill."""
    mortal = LocalCloud(tmp_path_factory.mktemp("mortal") / "state", hub.url)
    mortal.take_state(first_state)
    mortal.start()
    try:
        yield mortal
    finally:
        mortal.stop()


@pytest.fixture(scope="session")
def completed(cloud: LocalCloud, hub: LocalHub) -> dict[str, Any]:
    """A job that ran to its end, after the base model had come from the hub."""
    cloud.move_base_model(hub.folder)
    with cloud.http() as client:
        customer = Customer(client)
        job_id = customer.create_job(SHORT, suffix="journey")
        assert customer.job(job_id)["status"] == "queued"
        customer.wait_for_status(job_id, "running", "completed")
        return customer.wait_for_status(job_id, "completed")


@pytest.fixture
def api(cloud: LocalCloud) -> Iterator[httpx.Client]:
    with cloud.http() as client:
        yield client


@pytest.fixture
def customer(api: httpx.Client) -> Customer:
    return Customer(api)
