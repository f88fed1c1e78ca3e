"""Webhooks: endpoints, and what becomes of each event that is sent to them. Pure: standard library only.

A delivery is one event for one endpoint, named by the event's id, which the receiver sees as `webhook-id`:

pending → delivered | exhausted | cancelled
skipped: it was for an endpoint that was disabled, and never sent
replay opens the next round of an ended one: → pending
"""

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from luthier import clock
from luthier.events.entity import Event

ENABLED, DISABLED = "enabled", "disabled"
PENDING, DELIVERED, EXHAUSTED, CANCELLED = "pending", "delivered", "exhausted", "cancelled"
SKIPPED = "skipped"
STATES = (PENDING, DELIVERED, EXHAUSTED, CANCELLED, SKIPPED)

# Seconds before each try: eight tries over 27 hours, 35 minutes and 5 seconds.
SCHEDULE = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
EVERYTHING = "*"
# Stands for the `webhookUrl` of all jobs and batches: it has a secret and a log of deliveries, and no URL of its own.
CALLBACKS = "callbacks"
# What a job's own webhookUrl hears: its turning points, and that its model answers requests; and how a batch has ended.
CALLBACK_EVENTS = (
    "training.started",
    "training.completed",
    "training.failed",
    "training.stopped",
    "training.paused",
    "model.deployed",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
)
# An endpoint is disabled once it has failed for so long and on so many days: two failures a week apart say little.
DISABLED_AFTER, FAILED_DAYS = timedelta(days=5), 5
# An endpoint that did not answer in time is taken for slow so long.
SLOW_FOR = timedelta(hours=1)
_SHOWN_ATTEMPTS = 20
_HEALTHY: dict[str, Any] = {"failing_since": None, "failed_days": [], "slow_until": None}

# Each valid secret adds a signature to every request.
_OLD_SECRETS = 4


@dataclass(frozen=True)
class Endpoint:
    """Where an organization wants its events. `secrets` are {secret, expires_at, unseen?}, newest first; `version`
    counts changes by people, the fields about its health do not."""

    id: str
    organization_id: str
    name: str
    url: str | None
    events: list[str]
    secrets: list[dict[str, Any]]
    created_at: str
    updated_at: str
    status: str = ENABLED
    disabled_reason: str | None = None
    # Since when no try has succeeded, and on which UTC days since then one has failed; None and empty after a success.
    failing_since: str | None = None
    failed_days: list[str] = field(default_factory=list)
    slow_until: str | None = None
    version: int = 1

    def wants(self, event_type: str) -> bool:
        return EVERYTHING in self.events or event_type in self.events

    def keys(self, now: datetime) -> list[str]:
        """The secrets that are valid, newest first."""
        return [
            entry["secret"]
            for entry in self.secrets
            if entry["expires_at"] is None or clock.parse(entry["expires_at"]) > now
        ]

    def is_slow(self, now: datetime) -> bool:
        return self.slow_until is not None and clock.parse(self.slow_until) > now

    def failed_too_long(self, now: datetime) -> bool:
        if self.failing_since is None or len(self.failed_days) < FAILED_DAYS:
            return False
        return now - clock.parse(self.failing_since) >= DISABLED_AFTER

    def failed(self, now: datetime) -> "Endpoint":
        """This endpoint after a failure; itself where that is no news."""
        day = clock.iso(now)[:10]
        if day in self.failed_days or len(self.failed_days) == FAILED_DAYS:
            return self
        since = self.failing_since or clock.iso(now)
        return replace(self, failing_since=since, failed_days=[*self.failed_days, day])

    def changed(self, now: str, **changes: Any) -> "Endpoint":
        if changes.get("url", self.url) != self.url:
            changes |= _HEALTHY
        return replace(self, updated_at=now, version=self.version + 1, **changes)

    def rotated(self, now: datetime, secret: str, overlap: timedelta) -> "Endpoint":
        """This endpoint with a new secret; the one before stays valid for `overlap`, older ones as long as promised.

        Without an overlap every older secret ends at once: so a leaked one is cut off. So does one that was never
        shown: no receiver verifies with it.
        """
        ends = clock.iso(now + overlap)
        promised = [entry for entry in self.secrets[1:] if clock.parse(entry["expires_at"]) > now]
        known = overlap and not self.secrets[0].get("unseen")
        old = [self.secrets[0] | {"expires_at": ends}, *promised][:_OLD_SECRETS] if known else []
        return self.changed(clock.iso(now), secrets=[{"secret": secret, "expires_at": None}, *old])

    def enabled(self, now: str) -> "Endpoint":
        """This endpoint taking events again, whatever it did before."""
        return self.changed(now, status=ENABLED, disabled_reason=None, **_HEALTHY)

    def disabled(self, now: str, reason: str) -> "Endpoint":
        return self.changed(now, status=DISABLED, disabled_reason=reason)


@dataclass(frozen=True)
class Attempt:
    """One POST: `status_code` and `response` (its beginning) of what came back, or `error`, a sentence."""

    at: str
    url: str
    milliseconds: int
    status_code: int | None = None
    error: str | None = None
    response: str = ""

    @property
    def succeeded(self) -> bool:
        return self.error is None and self.status_code is not None and 200 <= self.status_code < 300

    @property
    def verdict(self) -> str | None:
        """What went wrong, as a sentence; None where nothing did."""
        return None if self.succeeded else self.error or f"The endpoint answered {self.status_code}."


@dataclass(frozen=True)
class Delivery:
    """One event for one endpoint. `tries` counts within the round, `url` is set where the endpoint has none.

    test: the event is the catalogue's example, sent on request; nothing has happened.
    """

    organization_id: str
    endpoint_id: str
    event_id: str
    event_type: str
    event_at: str
    data: dict[str, Any]
    created_at: str
    url: str | None = None
    state: str = PENDING
    tries: int = 0
    next_attempt_at: str | None = None
    finished_at: str | None = None
    reason: str | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    test: bool = False
    version: int = 1

    @classmethod
    def of(cls, event: Event, endpoint_id: str, now: str, url: str | None = None) -> "Delivery":
        return cls(
            organization_id=event.organization_id,
            endpoint_id=endpoint_id,
            event_id=event.id,
            event_type=event.type,
            event_at=event.created_at,
            data=event.data,
            created_at=now,
            url=url,
            next_attempt_at=now,
        )

    def after(self, attempt: Attempt, now: datetime) -> "Delivery":
        """This delivery once an attempt that counts has ended: delivered, due again, or exhausted."""
        tries = self.tries + 1
        if attempt.succeeded:
            return self._ended(DELIVERED, now, attempt.verdict, tries=tries, attempts=self._with(attempt))
        if tries == len(SCHEDULE):
            return self._ended(EXHAUSTED, now, attempt.verdict, tries=tries, attempts=self._with(attempt))
        due = clock.iso(now + timedelta(seconds=SCHEDULE[tries]))
        return self._next(tries=tries, next_attempt_at=due, attempts=self._with(attempt))

    def tested(self, attempt: Attempt, now: datetime) -> "Delivery":
        """This delivery of a test event, which is sent once."""
        state = DELIVERED if attempt.succeeded else CANCELLED
        return self._ended(state, now, attempt.verdict, tries=1, attempts=self._with(attempt), test=True)

    def impatient(self, attempt: Attempt) -> "Delivery":
        """This delivery once a short wait was cut off: the try goes on, with more patience."""
        return self._next(attempts=self._with(attempt))

    def cancelled(self, now: datetime, reason: str) -> "Delivery":
        return self._ended(CANCELLED, now, reason)

    def skipped(self, now: datetime) -> "Delivery":
        """This delivery to a disabled endpoint: kept so that it can be replayed."""
        return self._ended(SKIPPED, now, "The endpoint is disabled.")

    def again(self, now: str) -> "Delivery":
        """The next round of an ended delivery."""
        return self._next(state=PENDING, tries=0, next_attempt_at=now, finished_at=None, reason=None)

    def _ended(self, state: str, now: datetime, reason: str | None, **changes: Any) -> "Delivery":
        return self._next(state=state, next_attempt_at=None, finished_at=clock.iso(now), reason=reason, **changes)

    def _next(self, **changes: Any) -> "Delivery":
        return replace(self, version=self.version + 1, **changes)

    def _with(self, attempt: Attempt) -> list[dict[str, Any]]:
        return [*self.attempts, asdict(attempt)][-_SHOWN_ATTEMPTS:]


@dataclass(frozen=True)
class Page:
    """`last_id`: after which the next page starts, None when there is nothing left."""

    items: list[Delivery]
    last_id: str | None


@dataclass(frozen=True)
class Replayed:
    """How many deliveries are sent again; `last_id`: where the next call goes on, None when there is nothing left."""

    count: int
    last_id: str | None
