"""What `luthier doctor` sees with AWS credentials: account and region, images, base models in the bucket, quotas."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from luthier.cli import stop

if TYPE_CHECKING:
    from luthier.cli.doctor import Check

STACK = "Luthier"
_NAME = "LUTHIER_STACK"
_IMAGE = re.compile(r'"TrainingImage"\s*:\s*"(?:\d+)\.dkr\.ecr\.[^/"]+/([^:@"]+)[:@]([^"]+)"')
_SAID = "AWS"


def checks(environment: Mapping[str, str]) -> Iterator["Check"]:
    """Nothing is wrong where boto3 or credentials are missing: whoever only uses the API needs neither."""
    from luthier.cli.doctor import NOTE, Check

    try:
        import boto3
    except ImportError:
        yield Check(_SAID, NOTE, "Region, quotas and images were not checked.", "pip install 'luthier[server]'")
        return
    session = boto3.Session()
    if session.get_credentials() is None:
        remedy = "With an operator's AWS credentials they are."
        yield Check(_SAID, NOTE, "Region, quotas and images were not checked: there are no AWS credentials.", remedy)
        return
    yield from of_session(session, environment.get(_NAME, STACK))


def of_session(session: Any, stack: str) -> Iterator["Check"]:
    """stack: name of the CloudFormation stack."""
    from luthier.cli.doctor import OK, WRONG, Check

    region = session.region_name
    if not region:
        yield Check("region", WRONG, "AWS credentials are there, and no region.", "Set AWS_REGION.", stop.REFUSED)
        return
    found, broken = _tried("account", lambda: session.client("sts").get_caller_identity())
    if broken:
        yield broken
        return
    yield Check("region", OK, f"{region}, account {found['Account']}, as {found['Arn']}")
    found, broken = _tried("stack", lambda: session.client("cloudformation").describe_stacks(StackName=stack))
    if broken:
        yield broken
    else:
        outputs = {row["OutputKey"]: row["OutputValue"] for row in found["Stacks"][0].get("Outputs", [])}
        yield from _run("image", lambda: _image(session, stack))
        yield from _run("base models", lambda: _staged(session, outputs["BaseModelsBucketName"]))
    yield from _run("quotas", lambda: _quotas(session))


def _tried(name: str, ask: Callable[[], Any]) -> tuple[Any, "Check | None"]:
    """An answer of AWS, or what to say where there is none."""
    from botocore.exceptions import BotoCoreError, ClientError

    from luthier.cli.doctor import NOTE, Check

    try:
        return ask(), None
    except (BotoCoreError, ClientError) as error:
        remedy = f"Check the AWS credentials and the region; {_NAME} names another stack than {STACK}."
        return None, Check(name, NOTE, f"AWS does not tell: {error}", remedy)


def _run(name: str, check: "Callable[[], Check]") -> "Iterator[Check]":
    found, broken = _tried(name, check)
    yield broken or found


def _image(session: Any, stack: str) -> "Check":
    from luthier.cli.doctor import NOTE, OK, WRONG, Check

    pages = session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    machines = [
        row["PhysicalResourceId"]
        for page in pages
        for row in page["StackResourceSummaries"]
        if row["ResourceType"] == "AWS::StepFunctions::StateMachine" and "Training" in row["LogicalResourceId"]
    ]
    states = session.client("stepfunctions")
    definitions = [states.describe_state_machine(stateMachineArn=arn)["definition"] for arn in machines]
    named = next((found for text in definitions if (found := _IMAGE.search(text))), None)
    if named is None:
        return Check("image", NOTE, "The training image does not lie in ECR.")
    repository, tag = named[1], named[2]
    ecr = session.client("ecr")
    image = {"imageDigest": tag} if tag.startswith("sha256:") else {"imageTag": tag}
    try:
        ecr.describe_images(repositoryName=repository, imageIds=[image])
    except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException):
        return Check("image", WRONG, f"{repository}:{tag} is not there.", "Push it again: make deploy", stop.ABSENT)
    return Check("image", OK, f"{repository}:{tag} is there.")


def _staged(session: Any, bucket: str) -> "Check":
    from luthier.catalog.service import base_models
    from luthier.catalog.staging import is_staged
    from luthier.cli.doctor import OK, Check

    s3, known = session.client("s3"), base_models()
    staged = [model.id for model in known if is_staged(s3, bucket, model)]
    said = f"{len(staged)} of {len(known)} are staged{': ' if staged else ''}{', '.join(staged)}."
    return Check(
        "staged models", OK, said, "The first job of another one fetches it from the hub, which takes minutes."
    )


def _quotas(session: Any) -> "Check":
    """Of instances that training jobs may use at once, for each that the catalogue knows."""
    from luthier.catalog.service import hardware
    from luthier.cli.doctor import NOTE, OK, WRONG, Check

    pages = session.client("service-quotas").get_paginator("list_service_quotas").paginate(ServiceCode="sagemaker")
    values = {row["QuotaName"]: row["Value"] for page in pages for row in page["Quotas"]}
    known = {kind: values.get(f"{kind} for training job usage", 0) for row in hardware() for kind in row.instance_types}
    usable = sorted(kind for kind, value in known.items() if value >= 1)
    lacking = sorted(known.keys() - set(usable))
    remedy = f"Ask Service Quotas for “{lacking[0]} for training job usage” or another." if lacking else None
    if not usable:
        return Check("quotas", WRONG, "SageMaker may start no training instance here.", remedy, stop.REFUSED)
    said = f"SageMaker may start {', '.join(usable)}."
    return Check("quotas", NOTE, f"{said} Not: {', '.join(lacking)}.", remedy) if lacking else Check("quotas", OK, said)
