"""The openai surface: /v1/files, /v1/uploads, /v1/models, /v1/webhook_endpoints, in OpenAI's objects."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler.api_gateway import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.api import batches, previews, uploads
from functions.api.app import Surface, needs
from functions.api.error_shapes import openai as error_shape
from functions.api.multipart import read_form
from functions.api.parameters import After, IdempotencyKey, Limit, RetryCount
from functions.api.validation import body_bytes
from luthier import wiring
from luthier.datasets import schema as files
from luthier.datasets.content import CONTENT_TYPE
from luthier.deployments.entity import ACTIVE
from luthier.errors import Conflict, InvalidRequest
from luthier.events.entity import catalogue
from luthier.idempotency import Repetition
from luthier.models import schema as models
from luthier.webhooks import schema as webhooks

FILES = "/v1/files"
FILE = f"{FILES}/<file_id>"
READ_FILES, WRITE_FILES = needs("files:read"), needs("files:write")
READ_MODELS, WRITE_MODELS = needs("models:read"), needs("models:write")

ENDPOINTS = "/v1/webhook_endpoints"
ENDPOINT = f"{ENDPOINTS}/<webhook_endpoint_id>"
READ_WEBHOOKS, WRITE_WEBHOOKS = needs("webhooks:read"), needs("webhooks:write")

FilesLimit = Annotated[int, Query(ge=1, le=10_000)]
Order = Annotated[Literal["asc", "desc"], Query(description="By created_at.")]
Purpose = Annotated[str | None, Query()]

app = Surface("openai", error_shape, slashed_ids=re.compile(r"(?<=^/v1/models/).+?(?=/*$)"))
handler = app.handle
batches.add_routes(app)
previews.add_routes(app)
uploads.add_routes(app)


@app.post(FILES, security=WRITE_FILES, summary="Upload a file", openapi_extensions=files.UPLOAD_BODY)
def upload_file(idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None) -> files.File:
    form = read_form(app.header("Content-Type") or "", body_bytes(app.current_event))
    repetition = Repetition(idempotency_key, retry_count, app.name)
    parts = files.upload(form.fields, form.files)
    return files.File.of(wiring.datasets().upload(app.principal, **parts, repetition=repetition))


@app.post(f"{FILES}/presigned", security=WRITE_FILES, summary="Begin an upload that goes straight to storage")
def begin_upload(
    body: files.BeginUpload, idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None
) -> files.UploadBegun:
    repetition = Repetition(idempotency_key, retry_count, app.name)
    dataset, url, headers = wiring.datasets().begin_upload(app.principal, **body.model_dump(), repetition=repetition)
    return files.UploadBegun.of(dataset, url, headers)


@app.post(f"{FILE}/complete", security=WRITE_FILES, summary="Check a file that was uploaded to storage")
def complete_upload(file_id: str) -> files.File:
    return files.File.of(wiring.datasets().complete_upload(app.principal, file_id))


@app.get(FILES, security=READ_FILES, summary="List files")
def list_files(
    limit: FilesLimit = 10_000, after: After = None, order: Order = "desc", purpose: Purpose = None
) -> files.FileList:
    page = wiring.datasets().list(app.principal, limit=limit, after=after, order=order, purpose=purpose)
    return files.FileList.of(page.items, page.has_more)


@app.get(FILE, security=READ_FILES, summary="Get a file")
def get_file(file_id: str) -> files.File:
    return files.File.of(wiring.datasets().get(app.principal, file_id))


@app.delete(FILE, security=WRITE_FILES, summary="Delete a file")
def delete_file(file_id: str) -> files.FileDeleted:
    return files.FileDeleted(id=wiring.datasets().delete(app.principal, file_id).id)


CONTENT: dict[int, Any] = {
    200: {"description": "The file.", "content": {CONTENT_TYPE: {"schema": {"type": "string"}}}},
    302: {"description": "Where a large file lies.", "content": {}},
}


@app.get(f"{FILE}/content", security=READ_FILES, summary="Download a file", responses=CONTENT)
def get_content(file_id: str) -> Response[str]:
    content = wiring.datasets().content(app.principal, file_id)
    if content.body is None or content.is_binary:
        return Response(302, headers={"Location": content.url})
    return Response(200, CONTENT_TYPE, content.body.decode(errors="replace"))


@app.get(f"{FILE}/report", security=READ_FILES, summary="Read what is wrong with a file, line by line")
def get_report(file_id: str) -> files.FileReport:
    return files.FileReport.model_validate(wiring.datasets().report(app.principal, file_id))


@app.post(
    f"{FILE}/repair", security=WRITE_FILES, summary="Make a new file of the rows that are good or can be corrected"
)
def repair_file(file_id: str, idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None) -> files.File:
    repetition = Repetition(idempotency_key, retry_count, app.name)
    return files.File.of(wiring.repairs().repair(app.principal, file_id, repetition=repetition))


@app.get("/v1/models", security=READ_MODELS, summary="List aliases, fine-tuned models and deployed base models")
def list_models() -> models.ModelList:
    aliases = wiring.aliases().of_organization(app.principal)
    bases = [one for one in wiring.deployments().list(app.principal, status=ACTIVE) if one.is_of_base]
    return models.ModelList.of(wiring.models().newest(app.principal), aliases, bases)


@app.get("/v1/models/<model_id>", security=READ_MODELS, summary="Get a model by any of its names, or an alias")
def get_model(model_id: str) -> models.ModelObject:
    if alias := wiring.aliases().find(app.principal.organization_id, model_id):
        return models.ModelObject.of_alias(alias)
    deployed = wiring.deployments().find(app.principal.organization_id, model_id)
    if deployed and deployed.is_of_base:
        return models.ModelObject.of_base(deployed)
    return models.ModelObject.of(wiring.models().get(app.principal, model_id))


@app.delete("/v1/models/<model_id>", security=WRITE_MODELS, summary="Delete a fine-tuned model for good")
def delete_model(model_id: str) -> models.ModelObjectDeleted:
    organization_id = app.principal.organization_id
    if wiring.aliases().find(organization_id, model_id):
        raise Conflict(f"{model_id!r} is an alias.", remedy=f"DELETE /v2/training/aliases/{model_id}.")
    deployed = wiring.deployments().find(organization_id, model_id)
    if deployed and deployed.is_of_base:
        raise Conflict(f"{model_id!r} is a base model.", remedy=f"DELETE /v2/training/deployments/{deployed.id}.")
    wiring.retention().delete(app.principal, model_id)
    return models.ModelObjectDeleted(id=model_id)


@app.post(ENDPOINTS, security=WRITE_WEBHOOKS, summary="Create a webhook endpoint")
def create_webhook_endpoint(
    body: webhooks.CreateWebhookEndpoint, idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None
) -> webhooks.WebhookEndpointWithSecret:
    repetition = Repetition(idempotency_key, retry_count, app.name)
    with _openais_names():
        made = wiring.webhooks().create(
            app.principal, url=body.url, events=body.event_types, name=body.name, repetition=repetition
        )
    return webhooks.WebhookEndpointWithSecret.revealing(made)


@app.get(ENDPOINTS, security=READ_WEBHOOKS, summary="List webhook endpoints")
def list_webhook_endpoints(limit: Limit = 20, after: After = None) -> webhooks.WebhookEndpointList:
    return webhooks.WebhookEndpointList.of(*wiring.webhooks().page(app.principal, limit=limit, after=after))


@app.get(ENDPOINT, security=READ_WEBHOOKS, summary="Get a webhook endpoint")
def get_webhook_endpoint(webhook_endpoint_id: str) -> webhooks.WebhookEndpoint:
    return webhooks.WebhookEndpoint.of(wiring.webhooks().get(app.principal, webhook_endpoint_id))


@app.post(ENDPOINT, security=WRITE_WEBHOOKS, summary="Change a webhook endpoint")
def update_webhook_endpoint(webhook_endpoint_id: str, body: webhooks.UpdateWebhookEndpoint) -> webhooks.WebhookEndpoint:
    with _openais_names():
        changed = wiring.webhooks().update(app.principal, webhook_endpoint_id, **body.changes())
    return webhooks.WebhookEndpoint.of(changed)


@app.delete(ENDPOINT, security=WRITE_WEBHOOKS, summary="Delete a webhook endpoint")
def delete_webhook_endpoint(webhook_endpoint_id: str) -> webhooks.WebhookEndpointDeleted:
    return webhooks.WebhookEndpointDeleted(id=wiring.webhooks().delete(app.principal, webhook_endpoint_id).id)


@app.post(f"{ENDPOINT}/rotate_secret", security=WRITE_WEBHOOKS, summary="Replace the signing secret")
def rotate_webhook_endpoint_secret(
    webhook_endpoint_id: str,
    body: webhooks.RotateWebhookEndpointSecret | None = None,
    idempotency_key: IdempotencyKey = None,
    retry_count: RetryCount = None,
) -> webhooks.WebhookEndpointWithSecret:
    overlap = (body or webhooks.RotateWebhookEndpointSecret()).overlap
    repetition = Repetition(idempotency_key, retry_count, app.name)
    rotated = wiring.webhooks().rotate_secret(
        app.principal, webhook_endpoint_id, overlap=overlap, repetition=repetition
    )
    return webhooks.WebhookEndpointWithSecret.revealing(rotated)


@app.post(f"{ENDPOINT}/test", security=WRITE_WEBHOOKS, summary="Send a sample event")
def send_webhook_endpoint_test(
    webhook_endpoint_id: str, body: webhooks.SendEndpointTest
) -> webhooks.WebhookEndpointTest:
    with _openais_names():
        tested, attempt = wiring.webhooks().test(app.principal, webhook_endpoint_id, body.event_type)
    return webhooks.WebhookEndpointTest.of(tested, attempt)


@app.get("/v1/webhook_event_types", security=READ_WEBHOOKS, summary="List the events that can be subscribed to")
def list_webhook_event_types() -> webhooks.WebhookEventTypes:
    return webhooks.WebhookEventTypes(data=[kind.name for kind in catalogue().values() if not kind.reserved])


@contextmanager
def _openais_names() -> Iterator[None]:
    """Let a refusal name the field as OpenAI calls it."""
    try:
        yield
    except InvalidRequest as refused:
        refused.param = {"events": "event_types", "event": "event_type"}.get(refused.param or "", refused.param)
        raise
