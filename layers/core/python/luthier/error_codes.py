"""Every code that an answer or a job can carry: one row each, with what it means and what to do about it.

`ERRORS.md` is generated from here (`make errors`); a contract test finds every code that the sources use.
"""

from typing import NamedTuple


class ErrorCode(NamedTuple):
    """An error answer. `status` is the HTTP status that it always comes with."""

    status: int
    code: str
    meaning: str
    remedy: str


class ReasonCode(NamedTuple):
    """Why a job, a deployment or a processing ended, rests or waits; what a request of a batch met."""

    code: str
    meaning: str
    remedy: str


ERRORS = (
    ErrorCode(400, "invalid_request", "A field breaks a rule; the message names both.", "Change the named field."),
    ErrorCode(400, "invalid_value", "A field has the wrong type or lies out of range.", "Change the named field."),
    ErrorCode(400, "missing_field", "A required field is not there.", "Send the named field."),
    ErrorCode(400, "unknown_field", "The body has a field that this route does not know.", "Check its spelling."),
    ErrorCode(400, "unknown_parameter", "The query has a parameter that this route does not know.", "Check it."),
    ErrorCode(400, "invalid_json", "The body is not JSON.", "Send valid JSON."),
    ErrorCode(400, "invalid_encoding", "The body is not UTF-8.", "Encode it as UTF-8."),
    ErrorCode(400, "invalid_multipart", "The form cannot be read.", "Send multipart/form-data with one file."),
    ErrorCode(400, "unknown_base_model", "No base model has this name.", "Choose one that the message lists."),
    ErrorCode(400, "unknown_hardware", "No hardware has this id.", "Choose one that the message lists."),
    ErrorCode(400, "hardware_unavailable", "SageMaker has no such instance.", "Take the nearest, which is named."),
    ErrorCode(400, "hardware_too_small", "The base model does not fit into its memory.", "Choose one that fits."),
    ErrorCode(400, "gpu_required", "4-bit weights and TensorRT engines need a GPU.", "Choose hardware with a GPU."),
    ErrorCode(
        400,
        "cannot_continue",
        "The model holds no adapter of the base model as it is now, or the wishes contradict its shape.",
        "Leave the named field out, or train from the base model.",
    ),
    ErrorCode(400, "unknown_benchmark", "No file and no benchmark has this name.", "Choose a listed one."),
    ErrorCode(400, "unknown_metric", "Models are not compared by a metric of this name.", "Choose a listed one."),
    ErrorCode(400, "unsupported_method", "The base model cannot be trained this way.", "Choose a listed method."),
    ErrorCode(400, "unknown_hyperparameter", "No hyperparameter has this name.", "Check its spelling."),
    ErrorCode(
        400,
        "max_cost_too_low",
        "The cap would be used up before the first step of the run.",
        "Send at least `details.least`, or no cap.",
    ),
    ErrorCode(
        400,
        "gated_model",
        "The hub does not give this base model to the platform.",
        "Accept its licence on the hub with the token's account.",
    ),
    ErrorCode(400, "dataset_not_found", "The reference names no file.", "Upload the file, or check the id or address."),
    ErrorCode(400, "dataset_not_ready", "The file's content has not arrived.", "PUT it to its upload address."),
    ErrorCode(
        400,
        "invalid_dataset",
        "Rows of the file cannot be trained on; `details.findings` names lines.",
        "Correct them; GET /v1/files/{id}/report holds every finding.",
    ),
    ErrorCode(400, "invalid_parts", "The parts named do not make the announced file.", "Name all of them, once each."),
    ErrorCode(400, "md5_mismatch", "The parts make other content than the MD5 says.", "Check their order, or resend."),
    ErrorCode(400, "upload_not_pending", "The upload is completed, cancelled or expired.", "Begin another."),
    ErrorCode(
        400,
        "bucket_not_listed",
        "Datasets and models are not read from this bucket.",
        "Upload the files, or have the operator add the bucket to the setting dataset_buckets.",
    ),
    ErrorCode(
        400,
        "dataset_access_denied",
        "S3 denies the platform this object.",
        "Add the printed statement to the bucket's policy.",
    ),
    ErrorCode(
        400,
        "dataset_not_downloaded",
        "The file behind the URL could not be had, or not in time.",
        "Check the address, or upload the file.",
    ),
    ErrorCode(400, "source_not_found", "Nothing lies below the address of a model.", "Check the address."),
    ErrorCode(
        400,
        "source_access_denied",
        "S3 denies the platform the model to import.",
        "Add the printed statement to the bucket's policy.",
    ),
    ErrorCode(400, "bad_import", "The files make no adapter and no model.", "Give all files of one of them."),
    ErrorCode(400, "no_safetensors", "The weights are in a pickle file.", "Save them again, as safetensors."),
    ErrorCode(
        400, "invalid_signature", "The manifest was changed, or signed elsewhere.", "Send both as they were got."
    ),
    ErrorCode(400, "invalid_filename", "This cannot be the name of such a file.", "Take the rule of the message."),
    ErrorCode(400, "invalid_url", "This URL cannot be called.", "Send an https:// URL without user or fragment."),
    ErrorCode(400, "address_refused", "The URL leads to an address that is not public.", "Use a public one."),
    ErrorCode(400, "unknown_event", "No event has this name.", "Choose one that the message lists."),
    ErrorCode(400, "context_length_exceeded", "Prompt and answer do not fit the model.", "Shorten one of them."),
    ErrorCode(400, "unsupported_parameter", "The model's server cannot do what it asks for.", "Leave it out."),
    ErrorCode(400, "unsupported_schema", "No answer can be held to this JSON schema.", "Change `response_format`."),
    ErrorCode(400, "streaming_unsupported", "This route does not stream.", "Ask without `stream`."),
    ErrorCode(400, "request_rejected", "API Gateway refused the request.", "Check method, headers and path."),
    ErrorCode(401, "unauthorized", "The key is missing, wrong, expired or revoked.", "Send a valid key."),
    ErrorCode(402, "insufficient_credits", "The available credits do not cover it.", "Add credits or lower the cap."),
    ErrorCode(403, "scope_required", "The key lacks the scope of this route.", "Use a key that has it."),
    ErrorCode(404, "not_found", "Nothing of yours has this id.", "List the resources to find the id."),
    ErrorCode(404, "model_not_found", "No model of yours has this name.", "List the models."),
    ErrorCode(404, "upload_not_found", "No upload of yours has this id.", "Check the id; they are kept for a month."),
    ErrorCode(404, "file_not_found", "No file of yours has this id.", "List the files."),
    ErrorCode(404, "download_not_found", "No download has this token, or it has expired.", "Ask for it again."),
    ErrorCode(404, "unknown_path", "Nothing answers this path.", "GET /openapi.json lists every route."),
    ErrorCode(404, "artifact_missing", "A job that completed left no result.", "Start it again; read its logs."),
    ErrorCode(405, "method_not_allowed", "The path does not answer this method.", "Use one of `Allow`."),
    ErrorCode(
        409,
        "state_conflict",
        "The resource is in a state in which this cannot be done.",
        "Bring it into the required state, or wait `Retry-After` seconds.",
    ),
    ErrorCode(
        409,
        "input_changed",
        "The run cannot be made again: what it read is another now.",
        "Create a new job with what there is now.",
    ),
    ErrorCode(409, "content_missing", "The file's content has not arrived.", "PUT it to its upload address."),
    ErrorCode(409, "model_paused", "The deployment of the model is paused.", "Resume it."),
    ErrorCode(409, "name_taken", "A model, base model or alias has this name.", "Choose another name."),
    ErrorCode(409, "too_many_names", "The model has all the names it may have.", "Go by one of `details.names`."),
    ErrorCode(409, "version_exists", "The line of models has, or had, this version.", "Send another version."),
    ErrorCode(409, "too_many_aliases", "The organization has all the aliases it may have.", "Delete one."),
    ErrorCode(409, "model_not_deployed", "The model has no deployment that answers.", "Deploy it first."),
    ErrorCode(
        409,
        "idempotency_in_progress",
        "Another request with this Idempotency-Key is still at work.",
        "Send it again with the same key after `Retry-After` seconds.",
    ),
    ErrorCode(
        409,
        "key_shown_once",
        "This request has made an API key before, and its secret is shown only once.",
        "Rotate that key, or make another with a new Idempotency-Key.",
    ),
    ErrorCode(409, "too_many_endpoints", "The organization has all the endpoints it may have.", "Delete one."),
    ErrorCode(409, "stopped", "A pipeline step met an attempt that is over; seen in executions only.", "Nothing."),
    ErrorCode(413, "payload_too_large", "The body, or the model to import, is too large.", "Read the message."),
    ErrorCode(413, "file_too_large", "The file is larger than this takes.", "Split it, or train on a sample."),
    ErrorCode(415, "unsupported_media_type", "The body has the wrong content type.", "Send application/json."),
    ErrorCode(422, "deployment_failed", "The model cannot be, or was not, brought up.", "Read the reason."),
    ErrorCode(422, "packaging_failed", "The model cannot be, or was not, packed this way.", "Read `details.reason`."),
    ErrorCode(422, "model_too_large", "The model does not fit on the GPU.", "Choose one of `details.suggestions`."),
    ErrorCode(422, "nothing_left", "The repair would drop every row of the file.", "Correct the rows by hand."),
    ErrorCode(422, "preview_failed", "The rows of the file were not tokenized.", "Read `details.reason`."),
    ErrorCode(422, "unprocessable", "The request is well-formed but cannot be carried out.", "Read the message."),
    ErrorCode(
        422,
        "idempotency_key_reused",
        "This Idempotency-Key was used with another body.",
        "Send a new key with a new request.",
    ),
    ErrorCode(422, "endpoint_unreachable", "The endpoint did not answer the test.", "Check that it is up."),
    ErrorCode(422, "not_an_endpoint", "Deliveries to a job's own URL have no endpoint to act on.", "Name an endpoint."),
    ErrorCode(429, "rate_limited", "Too many requests in this minute.", "Wait `Retry-After` seconds."),
    ErrorCode(429, "unfinished_batches_exceeded", "Too many batches wait or run.", "Wait until one ends."),
    ErrorCode(429, "concurrent_processings_exceeded", "Too many processings wait or run.", "Wait until one ends."),
    ErrorCode(429, "concurrent_jobs_exceeded", "Too many jobs wait or run at once.", "Wait until one ends."),
    ErrorCode(500, "internal_error", "Luthier failed.", "Report the request id."),
    ErrorCode(501, "not_enabled", "The operator has not switched this on.", "Ask the operator."),
    ErrorCode(501, "playground_unavailable", "The playground is switched off.", "Ask a deployment, or the operator."),
    ErrorCode(503, "unavailable", "A service that Luthier needs does not answer.", "Try again."),
    ErrorCode(503, "model_not_ready", "The deployment is still coming up.", "Try again after `Retry-After` seconds."),
    ErrorCode(503, "model_sleeping", "The deployment sleeps; a request wakes it.", "Try again after `Retry-After`."),
    ErrorCode(503, "model_unavailable", "The endpoint does not answer.", "Try again."),
    ErrorCode(503, "model_failed", "The endpoint failed to answer.", "Try again; read the deployment's logs."),
    ErrorCode(504, "timeout", "The request took longer than API Gateway waits.", "Try again, or ask for less."),
)

REASONS = (
    ReasonCode("no_capacity", "AWS has no such instance free, or the quota is used up. The job waits.", "Wait."),
    ReasonCode("stopped_by_user", "Stopped on request.", "Restart it to go on from its checkpoint."),
    ReasonCode("awaiting_start", "Checked and priced, and not started.", "Start it, or cancel it."),
    ReasonCode("paused_by_user", "Paused on request.", "Resume it to go on from its checkpoint."),
    ReasonCode("budget_reached", "The next step would have broken the job's cap.", "Resume it with a higher maxCost."),
    ReasonCode("max_duration_exceeded", "The run took more than its time limit.", "Restart it to go on."),
    ReasonCode("stopped_outside", "The training job was stopped from outside Luthier.", "Restart it to go on."),
    ReasonCode("training_failed", "SageMaker says why in the message.", "Read the job's logs."),
    ReasonCode("processing_failed", "SageMaker says why in the message.", "Read the message, then ask again."),
    ReasonCode("pipeline_failed", "A step before or after training failed.", "Read the message, then restart."),
    ReasonCode("killed", "The container was killed, most likely for lack of memory.", "Lower batchSize, then restart."),
    ReasonCode("interrupted", "The run, deployment or processing was cut off.", "Start it again."),
)

LINES = (
    ReasonCode("empty_file", "The file of a batch has no requests.", "Write one request per line."),
    ReasonCode("too_many_requests", "The file has more requests than a batch takes.", "Split it."),
    ReasonCode("line_too_long", "The line is longer than a request may be.", "Shorten the prompt."),
    ReasonCode("invalid_json_line", "The line is no JSON object.", "Write one request per line, in UTF-8."),
    ReasonCode("duplicate_custom_id", "An earlier line has this custom_id.", "Name each request once."),
    ReasonCode("mismatched_model", "The line asks another model than the first one.", "Make a batch of each model."),
    ReasonCode("batch_expired", "The request was not reached within the completion window.", "Send it again."),
    ReasonCode("batch_cancelled", "The batch was cancelled before the request began.", "Send it again."),
)
