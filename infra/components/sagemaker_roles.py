"""The roles SageMaker works under: training reads its inputs and writes its outputs, and nothing else."""

from aws_cdk import Aws
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.acknowledgements import acknowledge_wildcards
from infra.components.storage import USE_KEY, Storage, foreign_buckets
from luthier.imports.entity import UPLOADS

_ACCOUNT = f"{Aws.REGION}:{Aws.ACCOUNT_ID}"
_TRAINING_LOGS = f"arn:{Aws.PARTITION}:logs:{_ACCOUNT}:log-group:/aws/sagemaker/TrainingJobs"
# Of endpoints, and of the inference components on them.
_SERVING_LOGS = f"arn:{Aws.PARTITION}:logs:{_ACCOUNT}:log-group:/aws/sagemaker/*"
_IMAGES = f"arn:{Aws.PARTITION}:ecr:{Aws.REGION}:*:repository/*"
_EVERY_JOB = "Jobs of every organization run under this role, and SageMaker opens only what each job's request names."


class SageMakerRoles(Construct):
    """`hub_token_secret`: name of the Secrets Manager secret with the hub token, empty for none; `dataset_buckets`:
    the setting of that name, which lists buckets of others."""

    def __init__(
        self, scope: Construct, construct_id: str, *, storage: Storage, hub_token_secret: str, dataset_buckets: str
    ) -> None:
        super().__init__(scope, construct_id)
        self._key = storage.key.key_arn
        job_data = storage.data.arn_for_objects("*/jobs/*")
        job_artifacts = storage.artifacts.arn_for_objects("*/jobs/*")
        base_models = storage.base_models.arn_for_objects("*")
        buckets = [bucket.bucket_arn for bucket in (storage.data, storage.base_models, storage.artifacts)]
        self.training = self._role(
            "Training",
            _TRAINING_LOGS,
            reads=[job_data, base_models, job_artifacts],
            writes=[job_artifacts],
            lists=buckets,
        )
        theirs = foreign_buckets(dataset_buckets)
        given = [storage.data.arn_for_objects("*/files/*"), storage.data.arn_for_objects(f"{UPLOADS}*")]
        # Finished models, files that they are judged by, and models of others in; what is made of them out, beside all
        # else.
        self.processing = self._role(
            "Processing",
            _TRAINING_LOGS,
            reads=[*given, base_models, job_artifacts, *(f"{arn}/*" for arn in theirs)],
            writes=[storage.artifacts.arn_for_objects("*/jobs/processing/*")],
            lists=[*buckets, *theirs],
        )
        self.staging = self._role(
            "Staging",
            _TRAINING_LOGS,
            reads=[base_models],
            writes=[base_models],
            lists=buckets[1:2],
            secret=hub_token_secret,
        )
        self.serving = self._role(
            "Serving", _SERVING_LOGS, reads=[base_models, job_artifacts], writes=[], lists=buckets[1:]
        )

    def _role(
        self, name: str, log_group: str, *, reads: list[str], writes: list[str], lists: list[str], secret: str = ""
    ) -> iam.Role:
        work = [
            iam.PolicyStatement(actions=["s3:GetObject"], resources=reads),
            iam.PolicyStatement(actions=["s3:GetBucketLocation", "s3:ListBucket"], resources=lists),
            _use_key(self._key),
        ]
        if writes:
            work.append(iam.PolicyStatement(actions=["s3:AbortMultipartUpload", "s3:PutObject"], resources=writes))
        if secret:
            work.append(iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[secret_arn(secret)]))
        role = iam.Role(
            self,
            name,
            assumed_by=iam.ServicePrincipal(
                "sagemaker.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            inline_policies={
                "Work": iam.PolicyDocument(statements=work),
                "Host": iam.PolicyDocument(statements=_host(log_group)),
            },
        )
        acknowledge_wildcards(role, dict.fromkeys(reads + writes, _EVERY_JOB) | _host_wildcards(log_group))
        return role


def _use_key(key_arn: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=list(USE_KEY), resources=[key_arn])


def secret_arn(name: str) -> str:
    """ARN of a secret by its name: Secrets Manager appends six characters of its own."""
    return f"arn:{Aws.PARTITION}:secretsmanager:{_ACCOUNT}:secret:{name}-??????"


def _host(log_group: str) -> list[iam.PolicyStatement]:
    """What SageMaker itself needs to start a container: its image, its log lines, its metrics."""
    return [
        iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
        iam.PolicyStatement(
            actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            resources=[_IMAGES],
        ),
        iam.PolicyStatement(
            actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            resources=[log_group, f"{log_group}:*"],
        ),
        iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions={"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
        ),
    ]


def _host_wildcards(log_group: str) -> dict[str, str]:
    own_streams = "SageMaker names the log streams of its containers."
    return {
        "*": "The registry's sign-in and metrics have no resources to name; a condition binds the metrics.",
        _IMAGES: "AWS's images and a prebuilt training image lie in other accounts.",
        log_group: own_streams,
        f"{log_group}:*": own_streams,
    }
