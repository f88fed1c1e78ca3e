"""What the Python client calls each operation of openapi.json: `client.training.models.deploy` is `deploy_model`."""

from typing import NamedTuple

# resource → method → operation
RESOURCES: dict[str, dict[str, str]] = {
    "fine_tunes": {
        "create": "start_fine_tune",
        "get": "get_fine_tune",
        "pause": "pause_fine_tune",
        "resume": "resume_fine_tune",
        "stop": "stop_fine_tune",
    },
    "fine_tuning": {
        "stats": "get_stats",
        "base_models": "list_base_models",
        "hardware": "list_hardware",
        "estimate_cost": "estimate_cost",
    },
    "fine_tuning.jobs": {
        "create": "create_job",
        "list": "list_jobs",
        "get": "get_job",
        "stop": "stop_job",
        "restart": "restart_job",
        "pause": "pause_fine_tune",
        "resume": "resume_fine_tune",
        "delete": "delete_job",
        "deploy": "deploy_job",
        "logs": "get_logs",
        "metrics": "get_metrics",
        "retry": "retry_fine_tuning_job",
        "start": "start_fine_tuning_job",
        "manifest": "get_fine_tuning_manifest",
        "rerun": "rerun_fine_tuning_job",
    },
    "fine_tuning.jobs.events": {"list": "list_fine_tuning_events"},
    "fine_tuning.jobs.checkpoints": {"list": "list_fine_tuning_checkpoints"},
    "fine_tuning.checkpoints": {},
    "fine_tuning.checkpoints.permissions": {
        "create": "create_checkpoint_permissions",
        "list": "list_checkpoint_permissions",
        "delete": "delete_checkpoint_permission",
    },
    "training": {},
    "training.deployments": {
        "list": "list_deployments",
        "get": "get_deployment",
        "update": "update_deployment",
        "pause": "pause_deployment",
        "resume": "resume_deployment",
        "delete": "delete_deployment",
    },
    "training.models": {
        "list": "list_trained_models",
        "get": "get_trained_model",
        "update": "update_trained_model",
        "deploy": "deploy_model",
        "compare": "compare_models",
        "download": "download_model",
        "archive": "archive_model",
        "restore": "restore_model",
        "delete": "delete_trained_model",
        "deployments": "list_model_deployments",
    },
    "training.versions": {
        "list": "list_model_versions",
        "create": "create_model_version",
        "get": "get_model_version",
    },
    "training.evaluations": {
        "create": "evaluate_model",
        "list": "list_evaluations",
        "get": "get_evaluation",
    },
    "training.imports": {"create": "import_model", "complete": "complete_import", "get": "get_import"},
    "training.aliases": {
        "list": "list_aliases",
        "get": "get_alias",
        "put": "put_alias",
        "delete": "delete_alias",
    },
    "inference": {"run": "run_inference", "playground": "run_playground_inference"},
    "inference.batches": {
        "create": "submit_batch",
        "get": "get_batch_results",
        "cancel": "cancel_batch_inference",
    },
    "endpoints": {"run": "run_endpoint", "run_async": "run_endpoint_async", "health": "check_endpoint"},
    "endpoints.runs": {"create": "run_endpoint_async", "get": "get_run", "cancel": "cancel_run"},
    "chat": {},
    "chat.completions": {"create": "create_chat_completion"},
    "completions": {"create": "create_completion"},
    "playground": {"models": "list_playground_models", "complete": "run_playground_completion"},
    "files": {
        "list": "list_files",
        "get": "get_file",
        "content": "get_content",
        "report": "get_report",
        "repair": "repair_file",
        "preview": "preview_file",
        "delete": "delete_file",
        "begin": "begin_upload",
        "complete": "complete_upload",
    },
    "models": {"list": "list_models", "get": "get_model", "delete": "delete_model"},
    "batches": {
        "create": "create_batch",
        "list": "list_batches",
        "get": "get_batch",
        "cancel": "cancel_batch",
    },
    "webhooks": {
        "create": "create_webhook",
        "list": "list_webhooks",
        "get": "get_webhook",
        "update": "update_webhook",
        "delete": "delete_webhook",
        "rotate_secret": "rotate_webhook_secret",
        "test": "send_test_event",
        "replay": "replay_webhook",
        "events": "list_webhook_events",
    },
    "webhooks.deliveries": {
        "list": "list_webhook_deliveries",
        "get": "get_webhook_delivery",
        "replay": "replay_webhook_delivery",
    },
    "organization": {
        "credits": "get_credits",
        "ledger": "list_ledger",
        "usage": "get_usage",
        "audit_logs": "list_audit_logs",
    },
    "organization.api_keys": {
        "create": "create_api_key",
        "list": "list_api_keys",
        "get": "get_api_key",
        "rotate": "rotate_api_key",
        "revoke": "revoke_api_key",
    },
}

_OPENAI = "OpenAI's own client speaks it, and `client.{}` does the same."
# operation → why the client has no method for it
UNNAMED: dict[str, str] = {
    "get_openapi": "The document that the client is generated from.",
    "get_reference": "A page for browsers.",
    "fetch_download": "The address of a download, which opens without a key.",
    "upload_file": "A form: `client.files.upload`.",
    "create_upload": "A step of `client.files.upload`.",
    "add_upload_part": "A step of `client.files.upload`.",
    "join_upload": "A step of `client.files.upload`.",
    "cancel_upload": "An upload expires after an hour.",
    **dict.fromkeys(
        (
            "create_fine_tuning_job",
            "list_fine_tuning_jobs",
            "retrieve_fine_tuning_job",
            "cancel_fine_tuning_job",
            "pause_fine_tuning_job",
            "resume_fine_tuning_job",
        ),
        _OPENAI.format("fine_tuning.jobs"),
    ),
    **dict.fromkeys(
        (
            "create_webhook_endpoint",
            "list_webhook_endpoints",
            "get_webhook_endpoint",
            "update_webhook_endpoint",
            "delete_webhook_endpoint",
            "rotate_webhook_endpoint_secret",
            "send_webhook_endpoint_test",
            "list_webhook_event_types",
        ),
        _OPENAI.format("webhooks"),
    ),
    **dict.fromkeys(
        (
            "run_endpoint_of_list",
            "run_endpoint_of_list_async",
            "get_run_of_list",
            "cancel_run_of_list",
            "check_endpoint_of_list",
        ),
        "The same route at another path.",
    ),
}


class Base(NamedTuple):
    """A hand-written class that a resource builds on; `thing`: the schema that its `get` answers."""

    module: str
    name: str
    thing: str = ""
    ended: str = ""
    failed: str = ""


BASES: dict[str, Base] = {
    "fine_tuning.jobs": Base("waiting", "Waiting", "FineTuningJob", "completed stopped", "failed"),
    "fine_tunes": Base("waiting", "Waiting", "FineTuneStatus", "completed stopped paused", "failed"),
    "training.deployments": Base("waiting", "Waiting", "DeploymentDetails", "active paused", "failed"),
    "training.evaluations": Base("waiting", "Waiting", "EvaluationObject", "completed", "failed"),
    "training.imports": Base("waiting", "Waiting", "ImportObject", "completed", "failed"),
    "endpoints.runs": Base("waiting", "Waiting", "RunStatus", "completed cancelled expired", "failed"),
    "inference.batches": Base("waiting", "Waiting", "BatchStatus", "completed cancelled expired", "failed"),
    "batches": Base("waiting", "Waiting", "BatchObject", "completed cancelled expired", "failed"),
    "files": Base("uploading", "Uploading", "File", "processed", "error"),
    "webhooks": Base("verifying", "Verifying"),
}

# schema → the resource that waits for such a thing, and the fields that hold its ids there
AWAITED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("JobCreated", "JobRow", "FineTuningJob", "JobChanged", "JobObject"), ("fine_tuning.jobs", "id")),
    **dict.fromkeys(("FineTuneStarted", "FineTuneStatus"), ("fine_tunes", "job_id")),
    **dict.fromkeys(("DeploymentObject", "DeploymentDetails"), ("training.deployments", "id")),
    "EvaluationObject": ("training.evaluations", "model_id id"),
    "RunStatus": ("endpoints.runs", "endpoint_id id"),
    "ImportObject": ("training.imports", "id"),
    **dict.fromkeys(("BatchAccepted", "BatchStatus"), ("inference.batches", "batch_id")),
    "BatchObject": ("batches", "id"),
    "File": ("files", "id"),
}
