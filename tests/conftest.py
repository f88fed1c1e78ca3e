"""Fixtures of every tier: sockets stay closed except to this machine; AWS in-process where a test asks for it."""

import os
from collections.abc import Iterator

import pytest

from tests import factories


def pytest_runtest_setup(item: pytest.Item) -> None:
    from pytest_socket import socket_allow_hosts

    socket_allow_hosts(["127.0.0.1", "localhost", "::1"], allow_unix_socket=True)


def pytest_configure(config: pytest.Config) -> None:
    from hypothesis import settings
    from moto import backend_index
    from moto.core.config import default_user_config

    # How long an example takes says more about who else uses the machine.
    settings.register_profile("unhurried", deadline=None)
    settings.load_profile("unhurried")
    # Every test has the same credentials, and a new boto3 session costs more than most tests.
    default_user_config["core"]["reset_boto3_session"] = False
    # Every test makes a mock of each address of each of these.
    known = backend_index.backend_url_patterns
    known[:] = [
        row for row in known if row[0] in ("dynamodb", "events", "kms", "logs", "s3", "secretsmanager", "sqs", "sts")
    ]


@pytest.fixture(autouse=True)
def _no_real_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_aws(monkeypatch)


def leave_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can reach a real account, whatever the machine it runs on has in its environment."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "LUTHIER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture
def platform() -> Iterator[factories.Platform]:
    """The services on an in-process AWS, with fakes only for what moto lacks: SageMaker and the state machines."""
    import moto

    with moto.mock_aws():
        yield factories.Platform()
