"""The roles SageMaker works under: training reads its inputs and writes its outputs, and nothing else."""

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.components.storage import Storage

_PULL_IMAGE = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
_USE_KEY = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]


class SageMakerRoles(Construct):
    """`hub_token_secret`: name of the Secrets Manager secret with the hub token, empty for none."""

    def __init__(self, scope: Construct, construct_id: str, *, storage: Storage, hub_token_secret: str) -> None:
        super().__init__(scope, construct_id)
        data, models, artifacts = storage.data, storage.base_models, storage.artifacts
        self.training = self._role(
            "Training",
            "/aws/sagemaker/TrainingJobs",
            reads(data.arn_for_objects("*/jobs/*"), models.arn_for_objects("*"), artifacts.arn_for_objects("*/jobs/*")),
            writes(artifacts.arn_for_objects("*/jobs/*")),
            lists(data.bucket_arn, models.bucket_arn, artifacts.bucket_arn),
            uses_key(storage.key.key_arn),
        )
        self.staging = self._role(
            "Staging",
            "/aws/sagemaker/TrainingJobs",
            reads(models.arn_for_objects("*")),
            writes(models.arn_for_objects("*"), artifacts.arn_for_objects("staging/*")),
            lists(models.bucket_arn, artifacts.bucket_arn),
            uses_key(storage.key.key_arn),
            *([reads_secret(hub_token_secret)] if hub_token_secret else []),
        )
        self.serving = self._role(
            "Serving",
            "/aws/sagemaker/Endpoints/*",
            reads(models.arn_for_objects("*"), artifacts.arn_for_objects("*/jobs/*")),
            lists(models.bucket_arn, artifacts.bucket_arn),
            uses_key(storage.key.key_arn),
        )

    def _role(self, name: str, log_group: str, *statements: iam.PolicyStatement) -> iam.Role:
        return iam.Role(
            self,
            name,
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            inline_policies={
                "Work": iam.PolicyDocument(statements=list(statements)),
                "Host": iam.PolicyDocument(statements=_host(log_group)),
            },
        )


def reads(*objects: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=["s3:GetObject"], resources=list(objects))


def writes(*objects: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=["s3:AbortMultipartUpload", "s3:PutObject"], resources=list(objects))


def lists(*buckets: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=["s3:GetBucketLocation", "s3:ListBucket"], resources=list(buckets))


def uses_key(key: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=_USE_KEY, resources=[key])


def reads_secret(name: str) -> iam.PolicyStatement:
    """Secrets Manager appends six characters of its own to the name in the ARN."""
    arn = f"arn:{Aws.PARTITION}:secretsmanager:{Aws.REGION}:{Aws.ACCOUNT_ID}:secret:{name}-??????"
    return iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[arn])


def _host(log_group: str) -> list[iam.PolicyStatement]:
    """What SageMaker itself needs to start a container: its image, its log lines, its metrics."""
    logs = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:{log_group}"
    return [
        iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
        iam.PolicyStatement(actions=_PULL_IMAGE, resources=[f"arn:{Aws.PARTITION}:ecr:{Aws.REGION}:*:repository/*"]),
        iam.PolicyStatement(
            actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            resources=[logs, f"{logs}:*"],
        ),
        iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
        ),
    ]
