"""What a function may be granted: the words of the rows of `infra/catalog.py`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Grant:
    """Permission for `actions` on the platform's resource called `on`."""

    on: str
    actions: tuple[str, ...]


TABLE_READ = Grant("table", ("dynamodb:GetItem", "dynamodb:Query"))
TABLE_READ_MANY = Grant("table", ("dynamodb:BatchGetItem",))
TABLE_WRITE = Grant("table", ("dynamodb:ConditionCheckItem", "dynamodb:PutItem", "dynamodb:UpdateItem"))
TABLE = (TABLE_READ, TABLE_WRITE)
# Only what a client asks for, or sets a time for, is ever deleted; pipelines and events write.
WHOLE_TABLE = (*TABLE, Grant("table", ("dynamodb:DeleteItem",)))

UPLOADS_READ = Grant("uploads", ("s3:GetObject",))
# Of no effect where no foreign bucket is configured.
FOREIGN_READ = Grant("foreign_datasets", ("s3:GetObject",))
FOREIGN_LIST = Grant("foreign_dataset_buckets", ("s3:ListBucket",))
UPLOADS_WRITE = Grant("uploads", ("s3:DeleteObject", "s3:PutObject"))
UPLOADS_ABORT = Grant("uploads", ("s3:AbortMultipartUpload",))
UPLOAD_PARTS_TAKE = Grant("upload_parts", ("s3:PutObject",))
UPLOAD_PARTS_JOIN = Grant("upload_parts", ("s3:DeleteObject", "s3:GetObject"))
# A deleted job takes its rows and checkpoints with it.
JOB_DATA_DELETE = Grant("job_data", ("s3:DeleteObject",))
ARTIFACTS_DELETE = Grant("artifacts", ("s3:DeleteObject",))
IMPORTS_WRITE = Grant("imports", ("s3:PutObject",))
JOB_DATA_WRITE = Grant("job_data", ("s3:AbortMultipartUpload", "s3:PutObject"))
BASE_MODELS_READ = Grant("base_models", ("s3:GetObject",))
# Of no effect where no token is configured.
HUB_TOKEN_READ = Grant("hub_token", ("secretsmanager:GetSecretValue",))
ARTIFACTS_READ = Grant("artifacts", ("s3:GetObject",))
# Without it S3 answers 403, not 404, for an object that is not there.
DATA_LIST = Grant("data_bucket", ("s3:ListBucket",))
BASE_MODELS_LIST = Grant("base_models_bucket", ("s3:ListBucket",))
ARTIFACTS_LIST = Grant("artifacts_bucket", ("s3:ListBucket",))

TRAINING_DESCRIBE = Grant("training_jobs", ("sagemaker:DescribeTrainingJob",))
TRAINING_STOP = Grant("training_jobs", ("sagemaker:StopTrainingJob",))
STAGING_DESCRIBE = Grant("staging_jobs", ("sagemaker:DescribeTrainingJob",))
PROCESSING_DESCRIBE = Grant("processing_jobs", ("sagemaker:DescribeTrainingJob",))
PROCESSING_STOP = Grant("processing_jobs", ("sagemaker:StopTrainingJob",))
TRAINING_LOGS_READ = Grant("training_logs", ("logs:DescribeLogStreams", "logs:GetLogEvents"))

SIGN_MANIFESTS = Grant("manifest_key", ("kms:GenerateMac", "kms:VerifyMac"))

START_TRAINING = Grant("training_machine", ("states:StartExecution",))
START_DEPLOYMENT = Grant("deployment_machine", ("states:StartExecution",))
START_PROCESSING = Grant("processing_machine", ("states:StartExecution",))
DESCRIBE_EXECUTIONS = Grant("executions", ("states:DescribeExecution",))

STREAM_READ = Grant("table_stream", ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator"))
STREAMS_LIST = Grant("all_table_streams", ("dynamodb:ListStreams",))
PUBLISH = Grant("event_bus", ("events:PutEvents",))
SEND_UNPUBLISHED = Grant("stream_dead_letters", ("sqs:SendMessage",))
SEND_FAILED_CALL = Grant("dead_letters", ("sqs:SendMessage",))

_CONSUME = ("sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage")
TAKE_PUBLISHED = Grant("published_events", _CONSUME)
TAKE_DELIVERIES = Grant("delivery_queues", _CONSUME)
SEND_DELIVERIES = Grant("delivery_queues", ("sqs:SendMessage",))
SEND_GIVEN_UP = Grant("webhook_dead_letters", ("sqs:SendMessage",))

TAKE_BATCHES = Grant("batch_queue", _CONSUME)
SEND_BATCHES = Grant("batch_queue", ("sqs:SendMessage",))
BATCH_DATA = Grant("batch_data", ("s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"))

COMPONENT_DESCRIBE = Grant("components", ("sagemaker:DescribeInferenceComponent",))
ENDPOINT_INVOKE = Grant("invocable", ("sagemaker:InvokeEndpoint",))
ENDPOINT_STREAM = Grant("invocable", ("sagemaker:InvokeEndpointWithResponseStream",))
# What making, reading and cancelling batches takes.
BATCHES_VERBS = (SEND_BATCHES, BATCH_DATA)
SERVING_DESCRIBE = (
    Grant("serving", ("sagemaker:DescribeEndpoint", "sagemaker:DescribeInferenceComponent")),
    Grant("all_serving", ("sagemaker:ListInferenceComponents", "sagemaker:ListModels")),
)
SERVING_CREATE = Grant(
    "serving",
    (
        "sagemaker:AddTags",
        "sagemaker:CreateEndpoint",
        "sagemaker:CreateEndpointConfig",
        "sagemaker:CreateInferenceComponent",
        "sagemaker:CreateModel",
    ),
)
SERVING_UPDATE = Grant(
    "serving", ("sagemaker:UpdateInferenceComponent", "sagemaker:UpdateInferenceComponentRuntimeConfig")
)
SERVING_DELETE = Grant(
    "serving",
    (
        "sagemaker:DeleteEndpoint",
        "sagemaker:DeleteEndpointConfig",
        "sagemaker:DeleteInferenceComponent",
        "sagemaker:DeleteModel",
    ),
)
SCALING = (
    Grant(
        "scalable_targets",
        (
            "application-autoscaling:DeregisterScalableTarget",
            "application-autoscaling:PutScalingPolicy",
            "application-autoscaling:RegisterScalableTarget",
        ),
    ),
    # Application Auto Scaling keeps its own alarms with the caller's permissions.
    Grant("serving_alarms", ("cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:PutMetricAlarm")),
    # Of effect once per account: AWS makes the role that moves copies when the first target is registered.
    Grant("scaling_role", ("iam:CreateServiceLinkedRole",)),
)
PASS_SERVING_ROLE = Grant("serving_role", ("iam:PassRole",))
SERVING = (*SERVING_DESCRIBE, SERVING_CREATE, SERVING_UPDATE, SERVING_DELETE, *SCALING, PASS_SERVING_ROLE)

# What checking and deleting files takes, also those that are joined of parts; and what taking them takes.
FILES_SWEEP = (UPLOADS_READ, UPLOADS_WRITE, UPLOADS_ABORT, UPLOAD_PARTS_JOIN, DATA_LIST)
FILES_VERBS = (*FILES_SWEEP, UPLOAD_PARTS_TAKE)
# What previewing files takes.
PREVIEWS_VERBS = (START_PROCESSING, ARTIFACTS_READ, ARTIFACTS_LIST)
# What creating, stopping and resuming a job takes, on whichever surface. A create may have to check a file whose upload
# nobody completed or that lies elsewhere, and asks the hub about gated models; a stop looks for the last checkpoint.
JOBS_VERBS = (
    UPLOADS_READ,
    UPLOADS_WRITE,
    DATA_LIST,
    FOREIGN_READ,
    FOREIGN_LIST,
    BASE_MODELS_READ,
    BASE_MODELS_LIST,
    HUB_TOKEN_READ,
    ARTIFACTS_READ,
    ARTIFACTS_LIST,
    START_TRAINING,
    TRAINING_STOP,
)
# What the registry takes: pages of models, deploying, processing, downloads, importing from S3 or by presigned uploads.
REGISTRY_VERBS = (
    TABLE_READ_MANY,
    START_DEPLOYMENT,
    COMPONENT_DESCRIBE,
    START_PROCESSING,
    BASE_MODELS_LIST,
    ARTIFACTS_READ,
    ARTIFACTS_LIST,
    IMPORTS_WRITE,
    DATA_LIST,
    FOREIGN_READ,
    FOREIGN_LIST,
)
