"""`luthier doctor`: what it finds, what it says to do, and how it ends."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from luthier import wiring
from luthier.catalog.service import base_models, hardware
from luthier.cli import aws_checks
from luthier.cli.doctor import Check
from tests.clients import no_pauses
from tests.factories import SETTINGS, Platform
from tests.functional.cli.terminal import Terminal


@pytest.fixture
def _without_aws(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/none")


@pytest.mark.usefixtures("_without_aws")
class TestThePlatform:
    def checks(self, terminal: Terminal, status: int = 0) -> dict[str, dict[str, Any]]:
        return {check["check"]: check for check in terminal.json("doctor", status=status)}

    def test_nothing_is_wrong_where_all_is_well(self, terminal: Terminal) -> None:
        found = self.checks(terminal)
        assert {check["level"] for name, check in found.items() if name != "AWS"} == {"ok"}
        assert "admin" in found["key"]["said"]
        assert "Billing is off" in found["credits"]["said"]
        assert "requests are left this minute" in found["rate limit"]["said"]
        assert "hub_token_secret" in found["base models"]["remedy"]
        assert found["AWS"]["level"] == "note"
        shown = terminal.shown("doctor")
        assert "http://api.example.test" in shown
        assert str(terminal.api.key) not in shown

    def test_a_key_with_few_scopes_is_told_what_it_may(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LUTHIER_API_KEY", str(terminal.api.caller("models:read", "files:read").key))
        found = self.checks(terminal)
        assert found["key"]["said"] == "It may files:read, models:read."
        assert "credits" not in found
        monkeypatch.setenv("LUTHIER_API_KEY", str(terminal.api.caller("inference:write").key))
        assert self.checks(terminal)["key"]["level"] == "note"

    def test_what_keeps_everything_from_working_is_the_last_thing_that_is_asked(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        no_pauses(monkeypatch)
        monkeypatch.setenv("LUTHIER_API_KEY", "lt_wrong")
        assert self.checks(terminal, status=4)["platform"]["remedy"]
        terminal.network.faults = ["before"] * 3
        assert self.checks(terminal, status=6)["platform"]["level"] == "wrong"
        terminal.network.faults = ["lost"] * 3
        assert "did not answer" in self.checks(terminal, status=1)["platform"]["said"]
        monkeypatch.delenv("LUTHIER_API_KEY")
        monkeypatch.setenv("HOME", "/none")
        assert "LUTHIER_API_KEY" in self.checks(terminal, status=4)["configuration"]["remedy"]

    def test_credits_that_are_used_up_are_wrong_where_they_count(
        self, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LUTHIER_BILLING", "on")
        wiring.reset()
        assert "luthier credits grant" in self.checks(terminal, status=5)["credits"]["remedy"]
        terminal.platform.credits.grant("org_a", 500, "March")
        assert self.checks(terminal)["credits"]["said"] == "5.00 available, 0.00 held."


class Pages:
    def __init__(self, page: dict[str, Any]) -> None:
        self._page = page

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        yield self._page


@dataclass
class Account:
    """An AWS account with one stack, by the answers that the checks read; buckets are the in-process AWS's."""

    platform: Platform
    region_name: str | None = "eu-west-1"
    quotas: dict[str, float] = field(default_factory=dict)
    images: list[str] = field(default_factory=lambda: ["assets:abc"])
    stack: str = "Luthier"

    class exceptions:
        class ImageNotFoundException(ClientError):
            pass

        class RepositoryNotFoundException(ClientError):
            pass

    def client(self, service: str) -> Any:
        return boto3.client("sts") if service == "sts" else self.platform.s3 if service == "s3" else self

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        if StackName != self.stack:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "does not exist"}}, "DescribeStacks")
        outputs = [{"OutputKey": "BaseModelsBucketName", "OutputValue": SETTINGS.base_models_bucket}]
        return {"Stacks": [{"Outputs": outputs}]}

    def get_paginator(self, operation: str) -> Pages:
        machine = {"ResourceType": "AWS::StepFunctions::StateMachine", "PhysicalResourceId": "arn"}
        rows = [machine | {"LogicalResourceId": f"{name}Machine"} for name in ("Deployment", "Training")]
        quotas = [{"QuotaName": f"{kind} for training job usage", "Value": n} for kind, n in self.quotas.items()]
        return Pages({"StackResourceSummaries": rows, "Quotas": quotas})

    def describe_state_machine(self, stateMachineArn: str) -> dict[str, Any]:
        return {"definition": '{"TrainingImage":"123456789012.dkr.ecr.eu-west-1.amazonaws.com/assets:abc"}'}

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> dict[str, Any]:
        if f"{repositoryName}:{imageIds[0]['imageTag']}" not in self.images:
            raise self.exceptions.ImageNotFoundException({"Error": {"Code": "ImageNotFoundException"}}, "x")
        return {}


def seen(account: Account) -> dict[str, Check]:
    return {check.check: check for check in aws_checks.of_session(account, "Luthier")}


@pytest.fixture
def account(platform: Platform) -> Account:
    kinds = [kind for row in hardware() for kind in row.instance_types]
    return Account(platform, quotas=dict.fromkeys(kinds, 2.0))


def test_an_account_that_is_ready_is_told_so(account: Account) -> None:
    model = base_models()[0]
    key = f"{model.id}/{model.revision}/manifest.json"
    account.platform.s3.put_object(Bucket=SETTINGS.base_models_bucket, Key=key, Body=b"{}")
    found = seen(account)
    assert {check.level for check in found.values()} == {"ok"}
    assert "eu-west-1, account 123456789012" in found["region"].said
    assert found["image"].said == "assets:abc is there."
    assert f"1 of {len(base_models())} are staged: {model.id}." in found["staged models"].said


def test_what_an_account_lacks_is_told_with_what_to_do(account: Account) -> None:
    kinds = sorted(account.quotas)
    account.quotas = {kinds[0]: 1.0}
    account.images = []
    found = seen(account)
    assert (found["image"].level, found["image"].status) == ("wrong", 3)
    assert found["quotas"].level == "note"
    assert f"{kinds[1]} for training job usage" in str(found["quotas"].remedy)
    account.quotas = {}
    assert (seen(account)["quotas"].level, seen(account)["quotas"].status) == ("wrong", 2)


def test_no_region_and_another_stack_are_told(account: Account) -> None:
    account.stack = "Theirs"
    found = seen(account)
    assert "LUTHIER_STACK" in str(found["stack"].remedy)
    assert "quotas" in found
    account.region_name = None
    assert seen(account)["region"].remedy == "Set AWS_REGION."
