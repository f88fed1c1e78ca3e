"""What people do with webhooks: register endpoints, test them, read what was sent, send it again."""

from collections.abc import Container, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from luthier import clock, ids, table
from luthier.accounts.entity import Principal
from luthier.errors import Conflict, InvalidRequest, NotFound, Unprocessable
from luthier.events.entity import catalogue, event
from luthier.idempotency import ONCE, Claim, Repetition
from luthier.webhooks import signing
from luthier.webhooks.address import Destinations
from luthier.webhooks.courier import attempt_of, draw
from luthier.webhooks.entity import (
    CALLBACKS,
    DISABLED,
    ENABLED,
    EVERYTHING,
    PENDING,
    STATES,
    Attempt,
    Delivery,
    Endpoint,
    Page,
    Replayed,
)
from luthier.webhooks.fan_out import callbacks, message_of
from luthier.webhooks.queues import QUICK_SECONDS, DeliveryQueues
from luthier.webhooks.sender import Sender
from luthier.webhooks.store import WebhookStore

MOST_ENDPOINTS = 20
LONGEST_OVERLAP = timedelta(days=7)
# Deliveries that one call sends again, and looks at, at most: API Gateway gives up after 29 s.
MOST_REPLAYED, MOST_LOOKED_AT = 500, 5_000
_TRIES = 5


class WebhookService:
    def __init__(
        self,
        store: WebhookStore,
        queues: DeliveryQueues,
        sender: Sender,
        destinations: Destinations,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._claims = store.claims(now)
        self._queues = queues
        self._sender = sender
        self._destinations = destinations
        self._now = now

    def create(
        self, principal: Principal, *, url: str, events: list[str], name: str = "", repetition: Repetition = ONCE
    ) -> Endpoint:
        """A new endpoint with a new secret; `["*"]` stands for every event. Raises InvalidRequest and Conflict."""
        claim = repetition.claim(principal, "webhooks.create", {"url": url, "events": events, "name": name})

        def make() -> Endpoint:
            endpoint = self._draft(principal, url, events, name)
            self._store.create(endpoint, claim, most=MOST_ENDPOINTS, too_many=_too_many())
            return endpoint

        return self._claims.once(claim, make, lambda made: self.get(principal, made))

    def _draft(self, principal: Principal, url: str, events: list[str], name: str) -> Endpoint:
        self._destinations.target(url)
        now = clock.iso(self._now())
        return Endpoint(
            id=ids.new_id("we"),
            organization_id=principal.organization_id,
            name=name,
            url=url,
            events=_checked(events),
            secrets=[{"secret": signing.new_secret(), "expires_at": None}],
            created_at=now,
            updated_at=now,
        )

    def list(self, principal: Principal) -> list[Endpoint]:
        """The endpoints of an organization, oldest first."""
        return [one for one in self._store.endpoints(principal.organization_id) if one.id != CALLBACKS]

    def page(self, principal: Principal, *, limit: int, after: str | None) -> tuple[Sequence[Endpoint], bool]:
        """Endpoints after the one called `after`, oldest first, and whether there are more."""
        rest = [one for one in self.list(principal) if after is None or one.id > after]
        return rest[:limit], len(rest) > limit

    def get(self, principal: Principal, endpoint_id: str) -> Endpoint:
        endpoint = self._store.get(principal.organization_id, endpoint_id)
        if endpoint is None and endpoint_id == CALLBACKS:
            raise NotFound(
                "No webhookUrl has been called yet, and no secret was made.",
                param="id",
                remedy=f"POST /v1/webhooks/{CALLBACKS}/rotate-secret makes one and shows it.",
            )
        if endpoint is None:
            raise NotFound(f"No webhook endpoint {endpoint_id!r}.", param="id", remedy="List the endpoints.")
        return endpoint

    def update(self, principal: Principal, endpoint_id: str, **changes: Any) -> Endpoint:
        """Change `name`, `url`, `events` or `enabled`; what is not named stays as it is."""
        if "url" in changes:
            self._destinations.target(changes["url"])
        if "events" in changes:
            changes["events"] = _checked(changes["events"])
        enabled = changes.pop("enabled", None)

        def changed(endpoint: Endpoint, now: datetime) -> Endpoint:
            if endpoint.id == CALLBACKS:
                raise _fixed()
            news = {name: value for name, value in changes.items() if getattr(endpoint, name) != value}
            new = endpoint.changed(clock.iso(now), **news) if news else endpoint
            if enabled is True and new.status == DISABLED:
                return new.enabled(clock.iso(now))
            if enabled is False and new.status == ENABLED:
                return new.disabled(clock.iso(now), "It was disabled on request.")
            return new

        return self._change(principal, endpoint_id, changed)

    def delete(self, principal: Principal, endpoint_id: str) -> Endpoint:
        """Remove an endpoint. What is still on its way to it is dropped."""
        endpoint = self.get(principal, endpoint_id)
        if endpoint.id == CALLBACKS:
            raise _fixed()
        self._store.remove(endpoint)
        return endpoint

    def rotate_secret(
        self, principal: Principal, endpoint_id: str, *, overlap: timedelta, repetition: Repetition = ONCE
    ) -> Endpoint:
        """A new secret; for the time of the overlap requests are signed with the old one too."""
        secret = signing.new_secret()
        facts = {"id": endpoint_id, "overlap_seconds": overlap.total_seconds()}
        claim = repetition.claim(principal, "webhooks.rotate", facts)

        def rotate() -> Endpoint:
            if endpoint_id == CALLBACKS:
                self._found_callbacks(principal.organization_id)
            return self._change(principal, endpoint_id, lambda old, now: old.rotated(now, secret, overlap), claim)

        return self._claims.once(claim, rotate, lambda made: self.get(principal, made))

    def test(self, principal: Principal, endpoint_id: str, event_type: str) -> tuple[Delivery, Attempt]:
        """Send the catalogue's example of an event at once and answer what came back in the short time that a person
        waits. It is never repeated."""
        endpoint = self.get(principal, endpoint_id)
        if endpoint.url is None:
            raise _fixed()
        if event_type not in catalogue():
            raise _unknown(event_type, "event", "Send the name of one; GET /v1/webhook_event_types lists them.")
        now = self._now()
        example = catalogue()[event_type].example
        fact = event(event_type, principal.organization_id, clock.iso(now), example)
        drawn = Delivery.of(fact, endpoint.id, clock.iso(now))
        post = draw(drawn, endpoint, endpoint.url, now, QUICK_SECONDS)
        attempt = attempt_of(post.url, now, self._sender.post(post))
        tested = drawn.tested(attempt, self._now())
        self._store.announce(tested)
        return tested, attempt

    def deliveries(
        self, principal: Principal, endpoint_id: str, *, limit: int, after: str | None, state: str | None
    ) -> Page:
        """What was sent to an endpoint, newest event first. `after` is the id of the last delivery seen."""
        endpoint = self.get(principal, endpoint_id)
        if state is not None and state not in STATES:
            raise InvalidRequest(f"status is {state!r}.", param="status", remedy=f"Choose from {', '.join(STATES)}.")
        return self._store.page(principal.organization_id, endpoint.id, limit=limit, after=after, state=state)

    def delivery(self, principal: Principal, endpoint_id: str, delivery_id: str) -> Delivery:
        found = self._store.delivery(principal.organization_id, endpoint_id, delivery_id)
        if found is None:
            raise NotFound(
                f"No delivery {delivery_id!r} to {endpoint_id!r}.", param="id", remedy="List the deliveries."
            )
        return found

    def replay(self, principal: Principal, endpoint_id: str, delivery_id: str) -> Delivery:
        """Send an ended delivery again, from its first try. One that is pending goes on as it is."""
        self._ready(principal, endpoint_id)
        delivery = self.delivery(principal, endpoint_id, delivery_id)
        if delivery.test:
            raise Unprocessable(
                f"{delivery_id} is a test event, which is sent once.", remedy="Send another test event."
            )
        return self._again(delivery)

    def replay_since(
        self,
        principal: Principal,
        endpoint_id: str,
        *,
        since: str,
        after: str | None = None,
        states: Container[str] = (),
    ) -> Replayed:
        """Send ended deliveries again whose event happened at or after `since`, newest first; `states` narrows them.

        after: `last_id` of the call before. Calls that follow each other so look at every delivery once.
        """
        start = _moment(since)
        endpoint = self._ready(principal, endpoint_id)
        count, last_id = 0, after
        for looked_at, delivery in enumerate(self._store.newest(principal.organization_id, endpoint.id, after=after)):
            if clock.parse(delivery.event_at) < start:
                break
            if count == MOST_REPLAYED or looked_at == MOST_LOOKED_AT:
                return Replayed(count, last_id)
            last_id = delivery.event_id
            wanted = not states or delivery.state in states
            if wanted and delivery.state != PENDING and not delivery.test:
                self._again(delivery)
                count += 1
        return Replayed(count, None)

    def _again(self, delivery: Delivery) -> Delivery:
        if delivery.state == PENDING:
            return delivery
        new = delivery.again(clock.iso(self._now()))
        try:
            self._store.save(delivery, new, travelling=True)
        except table.ConditionFailed:
            return delivery  # another replay was faster
        self._queues.send([message_of(new, slow=False)])
        return new

    def _ready(self, principal: Principal, endpoint_id: str) -> Endpoint:
        endpoint = self.get(principal, endpoint_id)
        if endpoint.status == DISABLED:
            raise Conflict(
                f"Endpoint {endpoint.id} is disabled: {endpoint.disabled_reason}",
                details={"current": DISABLED, "required": [ENABLED]},
                remedy="Enable it first.",
            )
        return endpoint

    def _found_callbacks(self, organization_id: str) -> None:
        with suppress(table.ConditionFailed):  # it is there already
            self._store.put(None, callbacks(organization_id, clock.iso(self._now())))

    def _change(self, principal: Principal, endpoint_id: str, verb: Any, claim: Claim | None = None) -> Endpoint:
        """Apply a verb to the endpoint as it stands; when somebody else was faster, look again.

        Raises table.ConditionFailed when the claim is taken.
        """
        for _ in range(_TRIES):
            old = self.get(principal, endpoint_id)
            new: Endpoint = verb(old, self._now())
            if new is old:
                return old
            try:
                self._store.put(old, new, claim=claim)
            except table.ConditionFailed as refused:
                if refused.position:
                    raise
                continue
            return new
        raise Conflict(f"Several requests changed {endpoint_id} at once.", remedy="Try again.", retry_after=1)


def _checked(events: list[str]) -> list[str]:
    """The event types without repetition, `*` among them. Raises InvalidRequest for one that is not known."""
    for name in events:
        if name != EVERYTHING and name not in catalogue():
            raise _unknown(name, "events", "GET /v1/webhook_event_types lists them; `*` stands for all.")
    return list(dict.fromkeys(events))


def _unknown(name: str, param: str, remedy: str) -> InvalidRequest:
    return InvalidRequest(f"Unknown event {name!r}.", code="unknown_event", param=param, remedy=remedy)


def _moment(since: str) -> datetime:
    try:
        return clock.parse(since)
    except ValueError:
        raise InvalidRequest(
            f"since is {since!r}, which is no ISO 8601 time.", param="since", remedy="Send 2025-02-01T10:00:00Z."
        ) from None


def _too_many() -> Conflict:
    return Conflict(
        f"An organization has at most {MOST_ENDPOINTS} webhook endpoints.",
        code="too_many_endpoints",
        remedy="Delete one that is not needed any more.",
    )


def _fixed() -> Unprocessable:
    return Unprocessable(
        f"`{CALLBACKS}` stands for the webhookUrl of all jobs and batches; it has no settings but its secret.",
        code="not_an_endpoint",
        remedy="Create an endpoint.",
    )
