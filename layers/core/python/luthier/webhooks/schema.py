"""Wire shapes of webhooks: the tuning surface in camelCase, OpenAI's objects for OpenAI's paths."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal, Self

from pydantic import Field

from luthier import clock
from luthier.errors import Unprocessable
from luthier.events.entity import EventType
from luthier.webhooks import payload
from luthier.webhooks.address import LONGEST_URL
from luthier.webhooks.entity import DISABLED, Attempt, Delivery, Endpoint, Page, Replayed
from luthier.wire import LONGEST_NAME, Answer, CamelAnswer, CamelRequest, Request

_URL = Field(min_length=1, max_length=LONGEST_URL, description="Public https:// address that takes the events.")
_EVENTS = Field(min_length=1, max_length=50, description="Names of events; `*` stands for all.")
_NAME = Field(default="", max_length=LONGEST_NAME)
_HINT_CHARACTERS = 4
# Of a field that may be left out and yet cannot be null.
_UNSENT: Any = None


class CreateWebhook(CamelRequest):
    url: str = _URL
    events: list[str] = Field(default=["*"], min_length=1, max_length=50, description="Names of events; `*`: all.")
    name: str = _NAME


class UpdateWebhook(CamelRequest):
    """What is not sent stays as it is. `enabled: true` takes up again what was disabled."""

    url: str = Field(default=_UNSENT, min_length=1, max_length=LONGEST_URL)
    events: list[str] = Field(default=_UNSENT, min_length=1, max_length=50)
    name: str = Field(default=_UNSENT, max_length=LONGEST_NAME)
    enabled: bool = Field(default=_UNSENT)

    def changes(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class RotateSecret(CamelRequest):
    overlap_hours: int = Field(default=24, ge=0, le=168, description="How long requests carry the old signature too.")

    @property
    def overlap(self) -> timedelta:
        return timedelta(hours=self.overlap_hours)


class SendTestEvent(CamelRequest):
    event: str = Field(default="training.completed", description="Name of the event whose example is sent.")


class ReplayWebhook(CamelRequest):
    since: str = Field(description="ISO 8601 time; events from then on are sent again.")
    statuses: list[Literal["delivered", "exhausted", "cancelled", "skipped"]] = Field(
        default=[], description="Only deliveries that ended so; all by default."
    )
    after: str | None = Field(
        default=None,
        min_length=1,
        max_length=LONGEST_NAME,
        description="Go on from here: the `lastId` of the call before.",
    )


class Webhook(CamelAnswer):
    id: str
    name: str
    url: str | None
    events: list[str]
    status: Literal["enabled", "disabled"]
    disabled_reason: str | None
    failing_since: str | None
    secret_hint: str
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, endpoint: Endpoint, **more: Any) -> Self:
        shown = {name: getattr(endpoint, name) for name in cls.model_fields if hasattr(endpoint, name)}
        return cls(**shown, secret_hint=_hint(endpoint), **more)


class WebhookWithSecret(Webhook):
    """The secret is shown here and nowhere else."""

    secret: str

    @classmethod
    def revealing(cls, endpoint: Endpoint) -> Self:
        return cls.of(endpoint, secret=endpoint.secrets[0]["secret"])


class Webhooks(CamelAnswer):
    webhooks: list[Webhook]

    @classmethod
    def of(cls, endpoints: list[Endpoint]) -> Self:
        return cls(webhooks=[Webhook.of(endpoint) for endpoint in endpoints])


class WebhookEvent(CamelAnswer):
    """One row of the catalogue; `dataSchema` is a JSON Schema of the event's data; `reserved`: it is not sent yet."""

    name: str
    when: str
    reserved: bool
    data_schema: dict[str, Any]
    example: dict[str, Any]


class WebhookEvents(CamelAnswer):
    events: list[WebhookEvent]

    @classmethod
    def of(cls, kinds: list[EventType]) -> Self:
        named = ("name", "when", "reserved", "example")
        return cls(
            events=[WebhookEvent(**{name: getattr(k, name) for name in named}, data_schema=k.data) for k in kinds]
        )


class DeliveryAttempt(CamelAnswer):
    """`error` says why nothing came back; `response` is the beginning of what did."""

    at: str
    url: str
    status_code: int | None
    milliseconds: int
    error: str | None
    response: str


class WebhookDelivery(CamelAnswer):
    """One event for one endpoint. `id` is what the receiver sees as `webhook-id`; `test`: it was sent by the test."""

    id: str
    event: str
    test: bool
    event_at: str
    status: Literal["pending", "delivered", "exhausted", "cancelled", "skipped"]
    reason: str | None
    tries: int
    next_attempt_at: str | None
    finished_at: str | None
    attempts: list[DeliveryAttempt]

    @classmethod
    def of(cls, delivery: Delivery, **more: Any) -> Self:
        return cls(
            id=delivery.event_id,
            event=delivery.event_type,
            test=delivery.test,
            event_at=delivery.event_at,
            status=delivery.state,  # type: ignore[arg-type]
            reason=delivery.reason,
            tries=delivery.tries,
            next_attempt_at=delivery.next_attempt_at,
            finished_at=delivery.finished_at,
            attempts=[DeliveryAttempt(**attempt) for attempt in delivery.attempts],
            **more,
        )


class WebhookRequest(CamelAnswer):
    """What was posted last, without its signatures; before the first try, what is going to be."""

    method: Literal["POST"] = "POST"
    url: str
    headers: dict[str, str]
    body: dict[str, Any]


class WebhookDeliveryDetail(WebhookDelivery):
    request: WebhookRequest

    @classmethod
    def with_request(cls, delivery: Delivery, endpoint: Endpoint) -> Self:
        last = delivery.attempts[-1] if delivery.attempts else None
        at = last["at"] if last else delivery.created_at
        headers = {
            "Content-Type": "application/json",
            "webhook-id": delivery.event_id,
            "webhook-timestamp": str(clock.epoch(at)),
            "X-Webhook-Event": delivery.event_type,
        }
        url = last["url"] if last else delivery.url or endpoint.url or ""
        return cls.of(delivery, request=WebhookRequest(url=url, headers=headers, body=payload.content(delivery, at)))


class WebhookDeliveries(CamelAnswer):
    """`hasMore`: ask again with `after` set to `lastId`. A page can be short, or empty, and yet have a next one: one
    call looks at so many deliveries and no more."""

    deliveries: list[WebhookDelivery]
    has_more: bool
    last_id: str | None

    @classmethod
    def of(cls, page: Page) -> Self:
        shown = [WebhookDelivery.of(one) for one in page.items]
        return cls(deliveries=shown, has_more=page.last_id is not None, last_id=page.last_id)


class WebhookTested(CamelAnswer):
    event: str
    delivery_id: str
    success: bool
    status_code: int | None
    milliseconds: int
    error: str | None
    response: str

    @classmethod
    def of(cls, delivery: Delivery, attempt: Attempt) -> Self:
        return cls(
            event=delivery.event_type,
            delivery_id=delivery.event_id,
            success=attempt.succeeded,
            status_code=attempt.status_code,
            milliseconds=attempt.milliseconds,
            error=attempt.verdict,
            response=attempt.response,
        )


class WebhooksReplayed(CamelAnswer):
    """`complete` is false where one call could not take them all: call again with `after` set to `lastId`."""

    replayed: int
    complete: bool
    last_id: str | None

    @classmethod
    def of(cls, replayed: Replayed) -> Self:
        return cls(replayed=replayed.count, complete=replayed.last_id is None, last_id=replayed.last_id)


class CreateWebhookEndpoint(Request):
    name: str = Field(max_length=LONGEST_NAME)
    url: str = _URL
    event_types: list[str] = _EVENTS


class UpdateWebhookEndpoint(Request):
    name: str = Field(default=_UNSENT, max_length=LONGEST_NAME)
    url: str = Field(default=_UNSENT, min_length=1, max_length=LONGEST_URL)
    event_types: list[str] = Field(default=_UNSENT, min_length=1, max_length=50)

    def changes(self) -> dict[str, Any]:
        sent = self.model_dump(exclude_unset=True)
        return sent | ({"events": sent.pop("event_types")} if "event_types" in sent else {})


class RotateWebhookEndpointSecret(Request):
    keep_old_secret_active_for_24_hours: bool = False

    @property
    def overlap(self) -> timedelta:
        return timedelta(hours=24 if self.keep_old_secret_active_for_24_hours else 0)


class SendEndpointTest(Request):
    event_type: str


class WebhookEndpoint(Answer):
    """OpenAI's webhook endpoint; what Luthier adds comes last. Times in Unix seconds."""

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    created_at: int
    updated_at: int
    name: str
    url: str | None
    event_types: list[str]
    signing_secret_hint: str
    status: Literal["enabled", "disabled"]

    @classmethod
    def of(cls, endpoint: Endpoint, **more: Any) -> Self:
        return cls(
            id=endpoint.id,
            created_at=clock.epoch(endpoint.created_at),
            updated_at=clock.epoch(endpoint.updated_at),
            name=endpoint.name,
            url=endpoint.url,
            event_types=endpoint.events,
            signing_secret_hint=_hint(endpoint),
            status="disabled" if endpoint.status == DISABLED else "enabled",
            **more,
        )


class WebhookEndpointWithSecret(WebhookEndpoint):
    signing_secret: str

    @classmethod
    def revealing(cls, endpoint: Endpoint) -> Self:
        return cls.of(endpoint, signing_secret=endpoint.secrets[0]["secret"])


class WebhookEndpointList(Answer):
    object: Literal["list"] = "list"
    data: list[WebhookEndpoint]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, endpoints: Sequence[Endpoint], has_more: bool) -> Self:
        data = [WebhookEndpoint.of(endpoint) for endpoint in endpoints]
        first, last = (endpoints[0].id, endpoints[-1].id) if endpoints else (None, None)
        return cls(data=data, first_id=first, last_id=last, has_more=has_more)


class WebhookEndpointDeleted(Answer):
    id: str
    object: Literal["webhook_endpoint.deleted"] = "webhook_endpoint.deleted"
    deleted: Literal[True] = True


class WebhookEndpointTest(Answer):
    object: Literal["webhook_endpoint.test"] = "webhook_endpoint.test"
    webhook_endpoint_id: str
    event_type: str
    status_code: int
    success: Literal[True] = True

    @classmethod
    def of(cls, delivery: Delivery, attempt: Attempt) -> Self:
        """Raises Unprocessable where nothing came back: OpenAI's object has no place for that."""
        if attempt.status_code is None:
            raise Unprocessable(f"{attempt.error}", code="endpoint_unreachable", remedy="Check the endpoint's URL.")
        return cls(
            webhook_endpoint_id=delivery.endpoint_id,
            event_type=delivery.event_type,
            status_code=attempt.status_code,
        )


class WebhookEventTypes(Answer):
    object: Literal["list"] = "list"
    data: list[str]


def _hint(endpoint: Endpoint) -> str:
    return f"whsec_…{endpoint.secrets[0]['secret'][-_HINT_CHARACTERS:]}"
