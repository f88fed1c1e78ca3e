"""Turns the grants of `infra/catalog.py` into IAM statements."""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Aws
from aws_cdk import aws_iam as iam

from infra.components.events import Events
from infra.components.sagemaker_roles import SageMakerRoles, secret_arn
from infra.components.storage import USE_KEY, Storage, foreign_buckets, table_arns
from infra.grants import Grant
from infra.rows import Function
from luthier.batches.entity import PREFIX
from luthier.imports.entity import UPLOADS
from luthier.uploads.entity import PARTS

# The words of the catalogue that stand for data under the customer key.
_ENCRYPTED = {
    "table",
    "table_stream",
    "uploads",
    "upload_parts",
    "job_data",
    "imports",
    "batch_data",
    "base_models",
    "artifacts",
}

_ALL_ORGANIZATIONS = "One function serves every organization; the code builds each key from the caller's own."
_OPENED_BY_OPERATOR = "The operator has named the bucket as one whose objects are read."
_NAMED_LATER = "Jobs and models are made, and named, while the platform runs."
# Application Auto Scaling's own role, by which it changes the number of copies.
_SCALES = "sagemaker.application-autoscaling.amazonaws.com"
_SCALING_ROLE = (
    f"arn:{Aws.PARTITION}:iam::{Aws.ACCOUNT_ID}:role/aws-service-role/{_SCALES}/"
    "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
)
# The words that hold under a condition only.
_BOUND = {
    "serving_role": {"iam:PassedToService": "sagemaker.amazonaws.com"},
    "scaling_role": {"iam:AWSServiceName": _SCALES},
    "scalable_targets": {"application-autoscaling:service-namespace": "sagemaker"},
}


@dataclass(frozen=True)
class Resource:
    """What a word of the catalogue stands for; `why` says why its ARNs hold a wildcard, where they do."""

    arns: tuple[str, ...]
    why: str = ""


Words = dict[str, Resource]


def words(
    storage: Storage, events: Events, roles: SageMakerRoles, hub_token_secret: str, dataset_buckets: str
) -> Words:
    """The resource behind each word that a grant may name. State machines are added once they exist.

    dataset_buckets: the setting of that name, which lists buckets of others.
    """
    theirs = foreign_buckets(dataset_buckets)
    training_logs = _arn("logs", "log-group:/aws/sagemaker/TrainingJobs")
    endpoint, component = (_arn("sagemaker", f"{kind}/luthier-*") for kind in ("endpoint", "inference-component"))
    serving = (*(_arn("sagemaker", f"{kind}/luthier-*") for kind in ("model", "endpoint-config")), endpoint, component)
    return {
        "table": Resource(tuple(table_arns(storage.table))),
        "table_stream": Resource((storage.table.table_stream_arn or "",)),
        "all_table_streams": Resource(("*",), "ListStreams cannot be bound to a table."),
        "uploads": Resource((storage.data.arn_for_objects("*/files/*"),), _ALL_ORGANIZATIONS),
        "upload_parts": Resource((storage.data.arn_for_objects(f"{PARTS}*"),), _ALL_ORGANIZATIONS),
        "job_data": Resource((storage.data.arn_for_objects("*/jobs/*"),), _ALL_ORGANIZATIONS),
        "imports": Resource((storage.data.arn_for_objects(f"{UPLOADS}*"),), _ALL_ORGANIZATIONS),
        "data_bucket": Resource((storage.data.bucket_arn,)),
        "base_models": Resource((storage.base_models.arn_for_objects("*"),), "Any base model may be looked for."),
        "base_models_bucket": Resource((storage.base_models.bucket_arn,)),
        "artifacts": Resource((storage.artifacts.arn_for_objects("*/jobs/*"),), _ALL_ORGANIZATIONS),
        "artifacts_bucket": Resource((storage.artifacts.bucket_arn,)),
        "event_bus": Resource((events.bus.event_bus_arn,)),
        "published_events": Resource((events.published.queue_arn,)),
        "delivery_queues": Resource((events.deliveries.queue_arn, events.slow_deliveries.queue_arn)),
        "webhook_dead_letters": Resource((events.webhook_dead_letters.queue_arn,)),
        "batch_queue": Resource((events.batches.queue_arn,)),
        "batch_data": Resource((storage.data.arn_for_objects(f"{PREFIX}*"),), _ALL_ORGANIZATIONS),
        "dead_letters": Resource((events.dead_letters.queue_arn,)),
        "stream_dead_letters": Resource((events.stream_dead_letters.queue_arn,)),
        "training_jobs": Resource((training_job_arn("ftjob"),), _NAMED_LATER),
        "staging_jobs": Resource((training_job_arn("stage"),), _NAMED_LATER),
        "processing_jobs": Resource((training_job_arn("proc"),), _NAMED_LATER),
        "training_logs": Resource((training_logs, f"{training_logs}:*"), "Each training job has its own log stream."),
        "components": Resource((component,), _NAMED_LATER),
        "invocable": Resource((endpoint, component), _NAMED_LATER),
        "serving": Resource(serving, _NAMED_LATER),
        "all_serving": Resource(("*",), "Lists cannot be bound to what they list."),
        "scalable_targets": Resource(
            (_arn("application-autoscaling", "scalable-target/*"),), "AWS names them; a condition binds the service."
        ),
        "serving_alarms": Resource(
            tuple(_arn("cloudwatch", f"alarm:{name}") for name in ("luthier-*", "TargetTracking-*luthier-*")),
            _NAMED_LATER,
        ),
        "scaling_role": Resource((_SCALING_ROLE,)),
        "serving_role": Resource((roles.serving.role_arn,)),
        "foreign_datasets": Resource(tuple(f"{arn}/*" for arn in theirs), _OPENED_BY_OPERATOR),
        "foreign_dataset_buckets": Resource(tuple(theirs)),
        "manifest_key": Resource((storage.manifest_key.key_arn,)),
        "hub_token": Resource((secret_arn(hub_token_secret),) if hub_token_secret else ()),
    }


def training_job_arn(kind: str) -> str:
    """SageMaker jobs of one kind: `ftjob` are fine-tuning runs, `stage` copies of base models, `proc` processings."""
    return _arn("sagemaker", f"training-job/{kind}-*")


def statements(function: Function, words: Words, key_arn: str) -> list[iam.PolicyStatement]:
    """The statements of one row; whoever touches encrypted data may also use the key, through S3 and DynamoDB only."""
    granted = [_statement(grant, words[grant.on]) for grant in function.grants if words[grant.on].arns]
    if any(grant.on in _ENCRYPTED for grant in function.grants):
        granted.append(_use_key(key_arn))
    return granted


def wildcards(function: Function, words: Words) -> Mapping[str, str]:
    """The reason of every ARN that one row is granted."""
    return {arn: words[grant.on].why for grant in function.grants for arn in words[grant.on].arns}


def _statement(grant: Grant, resource: Resource) -> iam.PolicyStatement:
    conditions = {"StringEquals": _BOUND[grant.on]} if grant.on in _BOUND else {}
    return iam.PolicyStatement(actions=list(grant.actions), resources=list(resource.arns), conditions=conditions)


def _use_key(key_arn: str) -> iam.PolicyStatement:
    services = [f"{service}.{Aws.REGION}.{Aws.URL_SUFFIX}" for service in ("dynamodb", "s3")]
    return iam.PolicyStatement(
        actions=list(USE_KEY), resources=[key_arn], conditions={"StringEquals": {"kms:ViaService": services}}
    )


def _arn(service: str, resource: str) -> str:
    return f"arn:{Aws.PARTITION}:{service}:{Aws.REGION}:{Aws.ACCOUNT_ID}:{resource}"
