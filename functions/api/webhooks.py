"""Webhooks on the tuning surface: /v1/webhooks. Bare camelCase answers, the tuning surface's errors."""

from typing import Annotated

from aws_lambda_powertools.event_handler.api_gateway import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from functions.api.app import Surface, needs
from functions.api.error_shapes import tuning as error_shape
from functions.api.parameters import NO_CONTENT, After, IdempotencyKey, Limit, RetryCount
from luthier import wiring
from luthier.events.entity import catalogue
from luthier.idempotency import Repetition
from luthier.webhooks import schema

WEBHOOKS = "/v1/webhooks"
WEBHOOK = f"{WEBHOOKS}/<webhook_id>"
DELIVERIES = f"{WEBHOOK}/deliveries"
DELIVERY = f"{DELIVERIES}/<delivery_id>"
READ, WRITE = needs("webhooks:read"), needs("webhooks:write")

Status = Annotated[str | None, Query(description="pending, delivered, exhausted, cancelled or skipped.")]

app = Surface("webhooks", error_shape)
handler = app.handle


@app.post(WEBHOOKS, security=WRITE, summary="Register an endpoint", status_code=201)
def create_webhook(
    body: schema.CreateWebhook, idempotency_key: IdempotencyKey = None, retry_count: RetryCount = None
) -> schema.WebhookWithSecret:
    repetition = Repetition(idempotency_key, retry_count, app.name)
    made = wiring.webhooks().create(app.principal, **body.model_dump(), repetition=repetition)
    return schema.WebhookWithSecret.revealing(made)


@app.get(WEBHOOKS, security=READ, summary="List endpoints")
def list_webhooks() -> schema.Webhooks:
    return schema.Webhooks.of(wiring.webhooks().list(app.principal))


@app.get(f"{WEBHOOKS}/events", security=READ, summary="List the events that can be subscribed to")
def list_webhook_events() -> schema.WebhookEvents:
    return schema.WebhookEvents.of(list(catalogue().values()))


@app.get(WEBHOOK, security=READ, summary="Get an endpoint; `callbacks` stands for the webhookUrl of all jobs")
def get_webhook(webhook_id: str) -> schema.Webhook:
    return schema.Webhook.of(wiring.webhooks().get(app.principal, webhook_id))


@app.patch(WEBHOOK, security=WRITE, summary="Change an endpoint, or enable it again")
def update_webhook(webhook_id: str, body: schema.UpdateWebhook) -> schema.Webhook:
    return schema.Webhook.of(wiring.webhooks().update(app.principal, webhook_id, **body.changes()))


@app.delete(WEBHOOK, security=WRITE, summary="Delete an endpoint", responses=NO_CONTENT)
def delete_webhook(webhook_id: str) -> Response[None]:
    wiring.webhooks().delete(app.principal, webhook_id)
    return Response(204)


@app.post(f"{WEBHOOK}/rotate-secret", security=WRITE, summary="Replace the secret that requests are signed with")
def rotate_webhook_secret(
    webhook_id: str,
    body: schema.RotateSecret | None = None,
    idempotency_key: IdempotencyKey = None,
    retry_count: RetryCount = None,
) -> schema.WebhookWithSecret:
    overlap, repetition = (body or schema.RotateSecret()).overlap, Repetition(idempotency_key, retry_count, app.name)
    rotated = wiring.webhooks().rotate_secret(app.principal, webhook_id, overlap=overlap, repetition=repetition)
    return schema.WebhookWithSecret.revealing(rotated)


@app.post(f"{WEBHOOK}/test", security=WRITE, summary="Send a test event and wait 3 seconds for the answer")
def send_test_event(webhook_id: str, body: schema.SendTestEvent | None = None) -> schema.WebhookTested:
    event = (body or schema.SendTestEvent()).event
    return schema.WebhookTested.of(*wiring.webhooks().test(app.principal, webhook_id, event))


@app.get(DELIVERIES, security=READ, summary="Read what was sent, newest first")
def list_webhook_deliveries(
    webhook_id: str, status: Status = None, limit: Limit = 20, after: After = None
) -> schema.WebhookDeliveries:
    page = wiring.webhooks().deliveries(app.principal, webhook_id, limit=limit, after=after, state=status)
    return schema.WebhookDeliveries.of(page)


@app.get(DELIVERY, security=READ, summary="Read one delivery with its request and every attempt")
def get_webhook_delivery(webhook_id: str, delivery_id: str) -> schema.WebhookDeliveryDetail:
    service = wiring.webhooks()
    delivery = service.delivery(app.principal, webhook_id, delivery_id)
    return schema.WebhookDeliveryDetail.with_request(delivery, service.get(app.principal, webhook_id))


@app.post(f"{DELIVERY}/replay", security=WRITE, summary="Send one delivery again")
def replay_webhook_delivery(webhook_id: str, delivery_id: str) -> schema.WebhookDelivery:
    return schema.WebhookDelivery.of(wiring.webhooks().replay(app.principal, webhook_id, delivery_id))


@app.post(f"{WEBHOOK}/replay", security=WRITE, summary="Send everything since a time again")
def replay_webhook(webhook_id: str, body: schema.ReplayWebhook) -> schema.WebhooksReplayed:
    replayed = wiring.webhooks().replay_since(
        app.principal, webhook_id, since=body.since, after=body.after, states=body.statuses
    )
    return schema.WebhooksReplayed.of(replayed)
