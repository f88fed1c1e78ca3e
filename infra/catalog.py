"""What runs: the table of functions, with everything the cloud builder, the local cloud and the tests need to know.

A function may do exactly what its row grants. The words a grant is made on are resolved to ARNs by
`infra/components/permissions.py`; the environment names are fields of `luthier.settings.Settings`.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Grant:
    """Permission for `actions` on the platform's resource called `on`."""

    on: str
    actions: tuple[str, ...]


@dataclass(frozen=True)
class OnTableStream:
    """Called with inserted items whose sort key starts with `sort_key_prefix`."""

    sort_key_prefix: str


@dataclass(frozen=True)
class OnTrainingJobChange:
    """Called when SageMaker reports that a training job changed its state."""


@dataclass(frozen=True)
class OnArtifact:
    """Called when an object whose key ends with `suffix` is written into the artifacts bucket."""

    suffix: str


@dataclass(frozen=True)
class EveryMinutes:
    minutes: int


Trigger = OnTableStream | OnTrainingJobChange | OnArtifact | EveryMinutes

TABLE_READ = Grant("table", ("dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query"))
TABLE_WRITE = Grant(
    "table", ("dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem")
)
TABLE = (TABLE_READ, TABLE_WRITE)

UPLOADS_READ = Grant("uploads", ("s3:GetObject",))
UPLOADS_WRITE = Grant("uploads", ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:PutObject"))
JOB_DATA_WRITE = Grant("job_data", ("s3:GetObject", "s3:PutObject"))
DATA_LIST = Grant("data_bucket", ("s3:ListBucket",))
BASE_MODELS_READ = Grant("base_models", ("s3:GetObject",))
BASE_MODELS_LIST = Grant("base_models_bucket", ("s3:ListBucket",))
ARTIFACTS_READ = Grant("artifacts", ("s3:GetObject",))
ARTIFACTS_LIST = Grant("artifacts_bucket", ("s3:ListBucket",))

TRAINING_DESCRIBE = Grant("training_jobs", ("sagemaker:DescribeTrainingJob",))
TRAINING_STOP = Grant("training_jobs", ("sagemaker:StopTrainingJob",))
TRAINING_LOGS_READ = Grant("training_logs", ("logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents"))
ENDPOINT_DESCRIBE = Grant("endpoints", ("sagemaker:DescribeEndpoint",))
ENDPOINT_INVOKE = Grant("endpoints", ("sagemaker:InvokeEndpoint",))
SERVING_CREATE = Grant(
    "serving",
    (
        "sagemaker:AddTags",
        "sagemaker:CreateEndpoint",
        "sagemaker:CreateEndpointConfig",
        "sagemaker:CreateModel",
        "sagemaker:DescribeEndpoint",
        "sagemaker:DescribeEndpointConfig",
        "sagemaker:DescribeModel",
    ),
)
SERVING_DELETE = Grant(
    "serving",
    (
        "sagemaker:DeleteEndpoint",
        "sagemaker:DeleteEndpointConfig",
        "sagemaker:DeleteModel",
        "sagemaker:DescribeEndpoint",
    ),
)
PASS_SERVING_ROLE = Grant("serving_role", ("iam:PassRole",))

START_TRAINING = Grant("training_machine", ("states:StartExecution",))
START_DEPLOYMENT = Grant("deployment_machine", ("states:StartExecution",))
DESCRIBE_EXECUTIONS = Grant("executions", ("states:DescribeExecution",))

STREAM_READ = Grant("table_stream", ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"))
STREAMS_LIST = Grant("all_table_streams", ("dynamodb:ListStreams",))
PUBLISH = Grant("event_bus", ("events:PutEvents",))
SEND_DEAD_LETTER = Grant("dead_letters", ("sqs:SendMessage",))

STORES = ("table", "data_bucket", "base_models_bucket", "artifacts_bucket", "data_key_arn")
TRAINING = ("training_image", "training_role_arn", "staging_role_arn", "hub_url", "hub_token_secret")
SERVING = ("serving_image", "serving_role_arn")
COMMON = (*STORES, "event_bus", *TRAINING, *SERVING)
MACHINES = ("training_state_machine_arn", "deployment_state_machine_arn")


@dataclass(frozen=True)
class Function:
    """One row: memory in MB, timeout in seconds, `routes` as API Gateway writes them, `env` as fields of Settings."""

    folder: str
    name: str
    grants: tuple[Grant, ...]
    routes: tuple[str, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    env: tuple[str, ...] = COMMON
    memory: int = 512
    timeout: int = 60

    @property
    def handler(self) -> str:
        return f"functions.{self.folder}.{self.name}.handler"

    @property
    def pascal_name(self) -> str:
        """The name as logical ids and ASL substitutions write it: `prepare_dataset` is `PrepareDataset`."""
        return self.name.title().replace("_", "")

    @property
    def physical_name(self) -> str:
        return self.name.replace("_", "-")


# API Gateway gives up after 29 s; a function that runs longer would work for nobody.
_API_TIMEOUT = 29

API = (
    Function(
        "api",
        "fine_tuning",
        routes=("/api/v1/fine-tuning/{proxy+}",),
        grants=(
            *TABLE,
            UPLOADS_READ,
            DATA_LIST,
            ARTIFACTS_READ,
            ARTIFACTS_LIST,
            START_TRAINING,
            START_DEPLOYMENT,
            TRAINING_DESCRIBE,
            TRAINING_STOP,
            TRAINING_LOGS_READ,
        ),
        env=COMMON + MACHINES,
        memory=1024,
        timeout=_API_TIMEOUT,
    ),
    Function(
        "api",
        "openai",
        routes=(
            "/v1/chat/completions",
            "/v1/files",
            "/v1/files/{proxy+}",
            "/v1/models",
            "/v1/models/{proxy+}",
        ),
        grants=(*TABLE, UPLOADS_READ, UPLOADS_WRITE, DATA_LIST, ENDPOINT_INVOKE),
        memory=1024,
        timeout=_API_TIMEOUT,
    ),
    Function(
        "api",
        "training_models",
        routes=("/v2/training/{proxy+}",),
        grants=(*TABLE, START_DEPLOYMENT),
        env=COMMON + MACHINES,
        memory=1024,
        timeout=_API_TIMEOUT,
    ),
    Function(
        "api",
        "account",
        routes=("/", "/{proxy+}", "/openapi.json", "/v1/organization/{proxy+}"),
        grants=TABLE,
        memory=1024,
        timeout=_API_TIMEOUT,
    ),
)

TRAINING_STEPS = (
    Function(
        "pipeline",
        "prepare_dataset",
        grants=(*TABLE, UPLOADS_READ, UPLOADS_WRITE, JOB_DATA_WRITE, DATA_LIST),
        memory=1024,
        timeout=900,
    ),
    Function("pipeline", "reserve_credits", grants=TABLE),
    Function("pipeline", "plan_launch", grants=(*TABLE, ARTIFACTS_LIST)),
    Function(
        "pipeline",
        "assess_training",
        grants=(*TABLE, TRAINING_DESCRIBE, ARTIFACTS_READ, ARTIFACTS_LIST),
    ),
    Function("pipeline", "register_model", grants=(*TABLE, ARTIFACTS_READ, ARTIFACTS_LIST), timeout=300),
    Function(
        "pipeline",
        "settle_job",
        grants=(*TABLE, ARTIFACTS_READ, ARTIFACTS_LIST, TRAINING_DESCRIBE),
    ),
)

# Both machines stage base models.
STAGING_STEP = Function(
    "pipeline",
    "stage_base_model",
    grants=(*TABLE, BASE_MODELS_READ, BASE_MODELS_LIST, TRAINING_DESCRIBE),
)

DEPLOYMENT_STEPS = (
    Function("pipeline", "create_endpoint", grants=(*TABLE, SERVING_CREATE, PASS_SERVING_ROLE)),
    Function("pipeline", "check_endpoint", grants=(*TABLE, ENDPOINT_DESCRIBE)),
    Function("pipeline", "probe_endpoint", grants=(TABLE_READ, ENDPOINT_INVOKE), timeout=90),
    Function("pipeline", "settle_deployment", grants=(*TABLE, SERVING_DELETE)),
)

PIPELINE = (*TRAINING_STEPS, STAGING_STEP, *DEPLOYMENT_STEPS)

EVENTS = (
    Function(
        "events",
        "publish_events",
        grants=(STREAM_READ, STREAMS_LIST, PUBLISH, SEND_DEAD_LETTER),
        triggers=(OnTableStream("EVENT#"),),
        env=("table", "event_bus"),
    ),
    Function(
        "events",
        "training_progress",
        grants=(*TABLE, ARTIFACTS_READ, ARTIFACTS_LIST, TRAINING_DESCRIBE, TRAINING_STOP, SEND_DEAD_LETTER),
        triggers=(OnTrainingJobChange(), OnArtifact("metrics.jsonl")),
    ),
    Function(
        "events",
        "sweep_stuck_jobs",
        grants=(
            *TABLE,
            ARTIFACTS_READ,
            ARTIFACTS_LIST,
            DESCRIBE_EXECUTIONS,
            START_TRAINING,
            START_DEPLOYMENT,
            TRAINING_DESCRIBE,
            TRAINING_STOP,
            SEND_DEAD_LETTER,
        ),
        triggers=(EveryMinutes(1),),
        env=COMMON + MACHINES,
        timeout=300,
    ),
)

FUNCTIONS = (*API, *PIPELINE, *EVENTS)


def routes() -> Iterator[tuple[str, Function]]:
    """Every route of the REST API with the function that answers it."""
    return ((route, function) for function in API for route in function.routes)
