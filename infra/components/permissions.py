"""Turns the grants of `infra/catalog.py` into IAM statements."""

from collections.abc import Mapping, Sequence

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from infra.catalog import Function, Grant
from infra.components.events import Events
from infra.components.sagemaker_roles import SageMakerRoles
from infra.components.storage import Storage, table_arns

# The words of the catalogue that stand for data under the customer key.
_ENCRYPTED = {"table", "table_stream", "uploads", "job_data", "base_models", "artifacts"}
_USE_KEY = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]

Words = dict[str, Sequence[str]]


def words(storage: Storage, events: Events, roles: SageMakerRoles) -> Words:
    """ARNs behind each word that a grant may name. State machines are added once they exist."""
    return {
        "table": table_arns(storage.table),
        "table_stream": [storage.table.table_stream_arn or ""],
        "all_table_streams": ["*"],
        "uploads": [storage.data.arn_for_objects("*/files/*")],
        "job_data": [storage.data.arn_for_objects("*/jobs/*")],
        "data_bucket": [storage.data.bucket_arn],
        "base_models": [storage.base_models.arn_for_objects("*")],
        "base_models_bucket": [storage.base_models.bucket_arn],
        "artifacts": [storage.artifacts.arn_for_objects("*/jobs/*")],
        "artifacts_bucket": [storage.artifacts.bucket_arn],
        "event_bus": [events.bus.event_bus_arn],
        "dead_letters": [events.dead_letters.queue_arn, events.stream_dead_letters.queue_arn],
        "training_jobs": [_arn("sagemaker", "training-job/*")],
        "training_logs": [
            _arn("logs", "log-group:/aws/sagemaker/TrainingJobs"),
            _arn("logs", "log-group:/aws/sagemaker/TrainingJobs:*"),
        ],
        "endpoints": [_arn("sagemaker", "endpoint/luthier-*")],
        "serving": [_arn("sagemaker", f"{kind}/luthier-*") for kind in ("model", "endpoint-config", "endpoint")],
        "serving_role": [roles.serving.role_arn],
    }


def statements(function: Function, words: Mapping[str, Sequence[str]], key_arn: str) -> list[iam.PolicyStatement]:
    """The statements of one row; whoever touches encrypted data may also use the key, through S3 and DynamoDB only."""
    granted = [_statement(grant, words) for grant in function.grants]
    if any(grant.on in _ENCRYPTED for grant in function.grants):
        granted.append(_use_key(key_arn))
    return granted


def _statement(grant: Grant, words: Mapping[str, Sequence[str]]) -> iam.PolicyStatement:
    conditions = {}
    if "iam:PassRole" in grant.actions:
        conditions = {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    return iam.PolicyStatement(actions=list(grant.actions), resources=list(words[grant.on]), conditions=conditions)


def _use_key(key_arn: str) -> iam.PolicyStatement:
    services = [f"{service}.{Aws.REGION}.{Aws.URL_SUFFIX}" for service in ("dynamodb", "s3")]
    return iam.PolicyStatement(
        actions=_USE_KEY, resources=[key_arn], conditions={"StringEquals": {"kms:ViaService": services}}
    )


def _arn(service: str, resource: str) -> str:
    return f"arn:{Aws.PARTITION}:{service}:{Aws.REGION}:{Aws.ACCOUNT_ID}:{resource}"
