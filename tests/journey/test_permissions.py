"""IAM is enforced: what works here works because a role grants it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from infra.local.options import ACCOUNT
from tests.journey.customer import JOBS
from tests.journey.local_cloud import LocalCloud


def test_a_function_without_its_grant_fails_and_shows_nothing_of_it(cloud: LocalCloud, api: httpx.Client) -> None:
    assert api.get(JOBS).status_code == 200

    with _without_policies(cloud, "luthier-fine-tuning"):
        answer = api.get(JOBS)

    assert answer.status_code == 500
    assert "AccessDenied" not in answer.text
    assert answer.headers["x-request-id"]
    assert api.get(JOBS).status_code == 200


def test_nobody_hands_sagemaker_a_role_without_pass_role(cloud: LocalCloud) -> None:
    training_role = cloud.aws("lambda").get_function_configuration(FunctionName="luthier-fine-tuning")["Role"]

    with _role_that_may(cloud, "sagemaker:*") as sagemaker, pytest.raises(ClientError, match="iam:PassRole"):
        sagemaker.create_model(
            ModelName="luthier-stolen", ExecutionRoleArn=training_role, PrimaryContainer={"Image": "image"}
        )


def test_sagemaker_itself_is_guarded(cloud: LocalCloud) -> None:
    with _role_that_may(cloud, "s3:ListAllMyBuckets") as sagemaker, pytest.raises(ClientError, match="AccessDenied"):
        sagemaker.list_training_jobs()


@contextmanager
def _role_that_may(cloud: LocalCloud, action: str) -> Iterator[Any]:
    """A SageMaker client of a role with this one grant."""
    iam = cloud.aws("iam")
    trust = _policy("sts:AssumeRole", Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    role = iam.create_role(RoleName="journey", AssumeRolePolicyDocument=trust)["Role"]
    iam.put_role_policy(RoleName="journey", PolicyName="one", PolicyDocument=_policy(action, Resource="*"))
    where = cloud.environment
    session = cloud.aws("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="journey")["Credentials"]
    try:
        yield boto3.client(
            "sagemaker", endpoint_url=where["AWS_ENDPOINT_URL"], region_name=where["AWS_REGION"],
            aws_access_key_id=session["AccessKeyId"], aws_secret_access_key=session["SecretAccessKey"],
            aws_session_token=session["SessionToken"],
        )  # fmt: skip
    finally:
        iam.delete_role_policy(RoleName="journey", PolicyName="one")
        iam.delete_role(RoleName="journey")


def _policy(action: str, **members: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, **members}]})


@contextmanager
def _without_policies(cloud: LocalCloud, function: str) -> Iterator[None]:
    iam, role = cloud.aws("iam"), _role_of(cloud, function)
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    kept = {name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names}
    assert kept
    for name in names:
        iam.delete_role_policy(RoleName=role, PolicyName=name)
    try:
        yield
    finally:
        for name, document in kept.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


def _role_of(cloud: LocalCloud, function: str) -> str:
    return str(cloud.aws("lambda").get_function_configuration(FunctionName=function)["Role"]).rsplit("/", 1)[-1]
