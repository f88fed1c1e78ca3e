"""What runs: the table of functions, with everything the cloud builder, the local cloud and the tests need to know.

A function may do exactly what its row grants. The words a grant is made on are resolved to ARNs by
`infra/components/permissions.py`; the environment names are fields of `luthier.settings.Settings`.
"""

from collections.abc import Iterator

from infra.grants import (
    ARTIFACTS_DELETE,
    ARTIFACTS_LIST,
    ARTIFACTS_READ,
    BASE_MODELS_LIST,
    BASE_MODELS_READ,
    BATCH_DATA,
    BATCHES_VERBS,
    COMPONENT_DESCRIBE,
    DATA_LIST,
    DESCRIBE_EXECUTIONS,
    ENDPOINT_INVOKE,
    ENDPOINT_STREAM,
    FILES_SWEEP,
    FILES_VERBS,
    JOB_DATA_DELETE,
    JOB_DATA_WRITE,
    JOBS_VERBS,
    PREVIEWS_VERBS,
    PROCESSING_DESCRIBE,
    PROCESSING_STOP,
    PUBLISH,
    REGISTRY_VERBS,
    SEND_BATCHES,
    SEND_DELIVERIES,
    SEND_FAILED_CALL,
    SEND_GIVEN_UP,
    SEND_UNPUBLISHED,
    SERVING,
    SIGN_MANIFESTS,
    STAGING_DESCRIBE,
    START_DEPLOYMENT,
    START_PROCESSING,
    START_TRAINING,
    STREAM_READ,
    STREAMS_LIST,
    TABLE,
    TABLE_READ,
    TABLE_READ_MANY,
    TABLE_WRITE,
    TAKE_BATCHES,
    TAKE_DELIVERIES,
    TAKE_PUBLISHED,
    TRAINING_DESCRIBE,
    TRAINING_LOGS_READ,
    TRAINING_STOP,
    UPLOADS_READ,
    UPLOADS_WRITE,
    WHOLE_TABLE,
)
from infra.rows import EveryMinutes, Function, OnArtifact, OnQueue, OnTableStream, OnTrainingJobChange

HUB = ("base_models_bucket", "hub_url", "hub_token_secret")
JOB_STORES = ("table", "data_bucket", "artifacts_bucket")
ACCOUNTS = (
    *("key_requests_per_minute", "organization_requests_per_minute", "key_concurrent_jobs"),
    *("organization_concurrent_jobs", "audit_days", "billing", "inference_cents_per_1000_tokens"),
)
# What asking a model takes besides.
ANSWERS = ("inference_seconds", *ACCOUNTS)
DATASET_SOURCES = ("dataset_buckets", "webhook_private_networks")
WEBHOOKS = ("webhook_private_networks", "webhook_queue_url", "slow_webhook_queue_url")
MACHINES = ("training_state_machine_arn", "deployment_state_machine_arn")
BATCH_STORES = ("batch_queue_url", "organization_unfinished_batches")
BATCHES = ("data_bucket", *BATCH_STORES, "webhook_private_networks")
SERVING_SETTINGS = ("serving_image", "serving_role_arn", "host_idle_minutes")
# What evaluating, packaging and adopting look at.
PROCESSING_STORES = (*JOB_STORES, "base_models_bucket", "organization_concurrent_processings")


# API Gateway gives up after 29 s; a function that runs longer would work for nobody, unless its answers stream: those
# may be silent for five minutes, as an answer is that comes in one piece.
_API_TIMEOUT, _ANSWER_TIMEOUT = 29, 300
# Lambda gives processor time by memory, and one whole processor at this size: first answers are mostly imports, and
# checking an upload of the largest size has to fit into one request.
_API_MEMORY = 1769

API = (
    Function(
        "api",
        "fine_tuning",
        routes=("/api/v1/fine-tuning/{proxy+}",),
        grants=(
            *WHOLE_TABLE,
            *JOBS_VERBS,
            ARTIFACTS_DELETE,
            JOB_DATA_DELETE,
            START_DEPLOYMENT,
            COMPONENT_DESCRIBE,
            TRAINING_LOGS_READ,
        ),
        env=JOB_STORES + HUB + MACHINES + ACCOUNTS + DATASET_SOURCES,
        memory=_API_MEMORY,
        timeout=_API_TIMEOUT,
    ),
    Function(
        "api",
        "openai_fine_tuning",
        routes=("/v1/fine_tuning/{proxy+}",),
        grants=(*WHOLE_TABLE, *JOBS_VERBS, SIGN_MANIFESTS),
        env=(*JOB_STORES, *HUB, "training_state_machine_arn", "manifest_key_id", *ACCOUNTS, *DATASET_SOURCES),
        memory=_API_MEMORY,
        timeout=_API_TIMEOUT,
    ),
    Function(
        "api",
        "openai",
        routes=(
            "/v1/batches",
            "/v1/batches/{proxy+}",
            "/v1/files",
            "/v1/files/{proxy+}",
            "/v1/models",
            "/v1/models/{proxy+}",
            "/v1/uploads",
            "/v1/uploads/{proxy+}",
            "/v1/webhook_endpoints",
            "/v1/webhook_endpoints/{proxy+}",
            "/v1/webhook_event_types",
        ),
        grants=(*WHOLE_TABLE, *FILES_VERBS, *PREVIEWS_VERBS, *BATCHES_VERBS),
        env=("table", *BATCHES, "processing_state_machine_arn", "organization_concurrent_processings", *ACCOUNTS),
        memory=_API_MEMORY,
        timeout=_API_TIMEOUT,
    ),
    Function(
        "api",
        "completions",
        routes=("/v1/chat/completions", "/v1/completions"),
        grants=(*WHOLE_TABLE, ENDPOINT_STREAM),
        env=("table", *ANSWERS),
        memory=_API_MEMORY,
        # As long as API Gateway lets an answer stream.
        timeout=900,
        streams=True,
    ),
    Function(
        "api",
        "training_models",
        routes=("/v2/training/{proxy+}",),
        grants=(*WHOLE_TABLE, *REGISTRY_VERBS),
        env=(
            *PROCESSING_STORES,
            "deployment_state_machine_arn",
            "processing_state_machine_arn",
            "dataset_buckets",
            *ACCOUNTS,
        ),
        memory=_API_MEMORY,
        timeout=_API_TIMEOUT,
    ),
    Function(
        "api",
        "tuning",
        # GET and DELETE of a model are the openai surface's.
        routes=(
            "/v1/batch/inference",
            "/v1/batch/inference/{proxy+}",
            "/v1/fine-tune",
            "/v1/fine-tune/{proxy+}",
            "POST /v1/models/{proxy+}",
            "/v1/playground/inference",
        ),
        grants=(*WHOLE_TABLE, *JOBS_VERBS, ENDPOINT_STREAM, *BATCHES_VERBS),
        env=(*JOB_STORES, *HUB, "training_state_machine_arn", *ANSWERS, *DATASET_SOURCES, *BATCH_STORES),
        memory=_API_MEMORY,
        timeout=_ANSWER_TIMEOUT,
        streams=True,
    ),
    Function(
        "api",
        "endpoints",
        routes=("/v2/{endpoint_id}/{action}", "/v2/{endpoint_id}/{action}/{run_id}", "/v2/endpoints/{proxy+}"),
        grants=(*WHOLE_TABLE, ENDPOINT_INVOKE, ENDPOINT_STREAM, COMPONENT_DESCRIBE, *BATCHES_VERBS),
        env=("table", *BATCHES, *ANSWERS),
        memory=_API_MEMORY,
        timeout=_ANSWER_TIMEOUT,
        streams=True,
    ),
    Function(
        "api",
        "playground",
        routes=("/api/v1/playground/{proxy+}",),
        grants=(*WHOLE_TABLE, ENDPOINT_STREAM),
        env=("table", "hosted_inference", *ANSWERS),
        memory=_API_MEMORY,
        timeout=_ANSWER_TIMEOUT,
        streams=True,
    ),
    Function(
        "api",
        "webhooks",
        routes=("/v1/webhooks", "/v1/webhooks/{proxy+}"),
        grants=(*WHOLE_TABLE, SEND_DELIVERIES),
        env=("table", *WEBHOOKS, *ACCOUNTS),
        memory=_API_MEMORY,
        timeout=_API_TIMEOUT,
    ),
    Function(
        "api",
        "account",
        routes=("/", "/{proxy+}", "/openapi.json", "/docs", "/v1/organization/{proxy+}"),
        grants=WHOLE_TABLE,
        env=("table", *ACCOUNTS),
        memory=_API_MEMORY,
        timeout=_API_TIMEOUT,
    ),
)

TRAINING_STEPS = (
    Function(
        "pipeline",
        "prepare_dataset",
        grants=(*TABLE, UPLOADS_READ, DATA_LIST, JOB_DATA_WRITE),
        env=JOB_STORES,
        timeout=900,
    ),
    Function("pipeline", "bound_run", grants=(TABLE_READ,), env=JOB_STORES),
    Function("pipeline", "plan_launch", grants=TABLE, env=JOB_STORES),
    Function(
        "pipeline",
        "assess_training",
        grants=(*TABLE, ARTIFACTS_READ, ARTIFACTS_LIST, TRAINING_DESCRIBE),
        env=JOB_STORES,
    ),
    Function(
        "pipeline",
        "register_model",
        grants=(*TABLE, ARTIFACTS_READ, ARTIFACTS_LIST, TRAINING_DESCRIBE),
        env=JOB_STORES,
    ),
    Function(
        "pipeline",
        "settle_job",
        grants=(*TABLE, ARTIFACTS_READ, ARTIFACTS_LIST, UPLOADS_WRITE, TRAINING_DESCRIBE),
        env=JOB_STORES,
    ),
)

# Every machine stages base models.
STAGING_STEP = Function(
    "pipeline",
    "stage_base_model",
    grants=(*TABLE, BASE_MODELS_READ, BASE_MODELS_LIST, STAGING_DESCRIBE),
    env=("table", *HUB),
)

DEPLOYMENT_STEPS = (
    Function("pipeline", "place_deployment", grants=(*TABLE, *SERVING), env=("table", *SERVING_SETTINGS)),
    # Up to 32 answers, and the first may take as long as SageMaker waits for one.
    Function(
        "pipeline",
        "prove_deployment",
        grants=(TABLE_READ, ARTIFACTS_READ, ARTIFACTS_LIST, ENDPOINT_INVOKE),
        env=("table", "artifacts_bucket"),
        timeout=900,
    ),
    # The record of a deleted deployment goes when nothing is left of it.
    Function("pipeline", "settle_deployment", grants=WHOLE_TABLE, env=("table",)),
)

PROCESSING_STEPS = (
    Function("pipeline", "plan_processing", grants=(*TABLE, PROCESSING_DESCRIBE), env=PROCESSING_STORES),
    Function(
        "pipeline",
        "settle_processing",
        grants=(*TABLE, ARTIFACTS_READ, ARTIFACTS_LIST, PROCESSING_DESCRIBE, PROCESSING_STOP),
        env=PROCESSING_STORES,
    ),
)

PIPELINE = (*TRAINING_STEPS, STAGING_STEP, *DEPLOYMENT_STEPS, *PROCESSING_STEPS)

EVENTS = (
    Function(
        "events",
        "publish_events",
        grants=(STREAM_READ, STREAMS_LIST, TABLE_WRITE, PUBLISH, SEND_UNPUBLISHED),
        triggers=(OnTableStream("EVENT#"),),
        env=("table", "event_bus"),
    ),
    Function(
        "events",
        "sweep_outbox",
        grants=(*TABLE, PUBLISH, SEND_FAILED_CALL),
        triggers=(EveryMinutes(1),),
        env=("table", "event_bus"),
    ),
    Function(
        "events",
        "training_progress",
        grants=(*TABLE, ARTIFACTS_READ, ARTIFACTS_LIST, TRAINING_STOP, SEND_FAILED_CALL),
        triggers=(OnTrainingJobChange(), OnArtifact("metrics.jsonl")),
        env=JOB_STORES,
    ),
    Function(
        "events",
        "sweep_stuck_jobs",
        grants=(
            *TABLE,
            ARTIFACTS_READ,
            ARTIFACTS_LIST,
            UPLOADS_WRITE,
            DESCRIBE_EXECUTIONS,
            START_TRAINING,
            START_DEPLOYMENT,
            START_PROCESSING,
            TRAINING_DESCRIBE,
            TRAINING_STOP,
            PROCESSING_DESCRIBE,
            PROCESSING_STOP,
            # Hosts without tenants go, and others get the serving image of an updated platform.
            *SERVING,
            SEND_FAILED_CALL,
        ),
        triggers=(EveryMinutes(1),),
        env=(*PROCESSING_STORES, *MACHINES, "processing_state_machine_arn", *SERVING_SETTINGS),
        timeout=300,
    ),
    Function(
        "events",
        "fan_out_webhooks",
        grants=(*TABLE, TAKE_PUBLISHED, SEND_DELIVERIES),
        triggers=(OnQueue("published"),),
        env=("table", "webhook_queue_url", "slow_webhook_queue_url"),
    ),
    Function(
        "events",
        "deliver_webhook",
        grants=(*TABLE, TABLE_READ_MANY, TAKE_DELIVERIES, SEND_DELIVERIES, SEND_GIVEN_UP),
        # The slow lane waits for others most of its time: few calls with many messages each.
        triggers=(OnQueue("deliveries"), OnQueue("slow_deliveries", batch=50, window=1, concurrency=10)),
        env=("table", *WEBHOOKS, "webhook_dead_letters_url"),
        timeout=30,
    ),
    Function(
        "events",
        "sweep_deliveries",
        grants=(*TABLE, SEND_DELIVERIES, SEND_FAILED_CALL),
        triggers=(EveryMinutes(1),),
        env=("table", "webhook_queue_url", "slow_webhook_queue_url"),
    ),
    Function(
        "events",
        "run_batch",
        grants=(*WHOLE_TABLE, UPLOADS_WRITE, BATCH_DATA, ENDPOINT_STREAM, TAKE_BATCHES, SEND_BATCHES),
        # A turn is mostly waiting for a model; how many requests are under way at one deployment is bounded elsewhere.
        triggers=(OnQueue("batches", batch=1),),
        env=("table", "data_bucket", "batch_queue_url", "inference_seconds", *ACCOUNTS),
        memory=_API_MEMORY,
        # A minute in which requests begin, and what the last of them may take.
        timeout=900,
    ),
    Function(
        "events",
        "sweep_batches",
        grants=(*TABLE, SEND_BATCHES, SEND_FAILED_CALL),
        triggers=(EveryMinutes(1),),
        env=("table", "data_bucket", "batch_queue_url"),
    ),
    Function(
        "events",
        "sweep_files",
        grants=(*WHOLE_TABLE, *FILES_SWEEP, ARTIFACTS_LIST, ARTIFACTS_DELETE, SEND_FAILED_CALL),
        triggers=(EveryMinutes(1),),
        env=("table", "data_bucket", "artifacts_bucket"),
        memory=_API_MEMORY,
        # A check takes as long as the file is large.
        timeout=900,
    ),
    Function(
        "events",
        "sweep_models",
        # What a client has given a time, or asked to be deleted.
        grants=(*WHOLE_TABLE, ARTIFACTS_LIST, ARTIFACTS_DELETE, SEND_FAILED_CALL),
        triggers=(EveryMinutes(5),),
        env=("table", "artifacts_bucket"),
        timeout=300,
    ),
)

FUNCTIONS = (*API, *PIPELINE, *EVENTS)


def routes() -> Iterator[tuple[str, str, Function]]:
    """(method, path, function) of every route of the REST API; a path's own method goes before ANY."""
    for function in API:
        for route in function.routes:
            method, _, path = route.rpartition(" ")
            yield method or "ANY", path, function
