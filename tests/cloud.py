"""AWS in this process: moto with the table, buckets and state machines that the stack makes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import boto3
from luthier import table, wiring
from luthier.settings import Settings
from moto import mock_aws

REGION = "us-east-1"
_ROLE = "arn:aws:iam::123456789012:role/luthier"
_BUCKETS = ("data", "base-models", "artifacts")
_MACHINE = '{"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 60, "End": true}}}'


@contextmanager
def running() -> Iterator[None]:
    """A fresh, empty account; `luthier.wiring` is set up for it, and forgets it afterwards."""
    credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": REGION}
    with mock_aws(), patch.dict(os.environ, credentials), patch.dict(os.environ, _build()):
        wiring.reset()
        yield
        wiring.reset()


def _build() -> dict[str, str]:
    table.create(boto3.client("dynamodb", REGION), "luthier")
    s3: Any = boto3.client("s3", REGION)
    for name in _BUCKETS:
        s3.create_bucket(Bucket=f"luthier-{name}")
    states: Any = boto3.client("stepfunctions", REGION)
    machines = {
        f"{name}_state_machine_arn": states.create_state_machine(name=name, definition=_MACHINE, roleArn=_ROLE)[
            "stateMachineArn"
        ]
        for name in ("training", "deployment")
    }
    named = {f"{name.replace('-', '_')}_bucket": f"luthier-{name}" for name in _BUCKETS}
    given = {"table": "luthier", "training_role_arn": _ROLE, "event_bus": "luthier", **named, **machines}
    return {Settings.environment_name(name): value for name, value in given.items()}
