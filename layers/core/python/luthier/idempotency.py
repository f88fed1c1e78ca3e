"""Claims that make a create happen once: written in the transaction of the thing they protect.

An explicit claim is the client's `Idempotency-Key`. An implicit one is the body itself: the `openai` client repeats a
POST after a 503 or a lost connection without any key and tells only by `x-stainless-retry-count`.

The claim is part of the transaction that makes the thing. Powertools' idempotency keeps its record in a write of its
own, so a function that dies between both writes would make the thing a second time.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from luthier import clock, table
from luthier.accounts.entity import Principal
from luthier.errors import Conflict, Unprocessable

Made = TypeVar("Made")

EXPLICIT_SECONDS = 24 * 3600
IMPLICIT_SECONDS = 10 * 60
# A create that has not finished by then has died: API Gateway gives up after 29 s.
PENDING_SECONDS = 30
# How long a create waits for another one with its key.
WAIT_SECONDS = 2.0
_POLL_SECONDS = 0.1
_found: ContextVar[list[str]] = ContextVar("found")


def fingerprint(body: dict[str, Any]) -> str:
    """SHA-256 (hex) of a body, the same for every order of its keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Repetition:
    """How a client says that a create may be a repetition: by a key, or by counting (`x-stainless-retry-count`).

    surface: where the client asked; the same key on two surfaces is two keys.
    """

    key: str | None = None
    retries: int | None = None
    surface: str = ""

    @property
    def can_repeat(self) -> bool:
        return self.key is not None or self.retries is not None

    def claim(self, principal: Principal, route: str, facts: dict[str, Any]) -> "Claim":
        """What this create claims; `facts` are what makes two creates the same."""
        route = f"{self.surface}.{route}" if self.surface else route
        return Claim(principal, route, fingerprint(facts), self.key, bool(self.retries))


# A create whose client will not say that it repeats itself.
ONCE = Repetition()


@dataclass(frozen=True)
class Claim:
    """One create of one principal on one route. `retry` = the client says that it repeats itself.

    token: tells this create from others with the same key while none of them has finished.
    """

    principal: Principal
    route: str
    body: str
    key: str | None
    retry: bool
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def item_key(self) -> table.Item:
        name = self.key or f"body#{self.principal.key_id}#{self.body}"
        return table.key(self.principal.organization_id, table.idempotency(self.route, name))

    def write(self, table_name: str, resource_id: str, now: datetime) -> dict[str, Any]:
        """The write that takes the claim, and fails when the same create was already made.

        Two equal bodies without a key and without a retry are two creates. A first try that arrives after its own
        retry (the client gave up on it, the network did not) finds the retry's claim and is refused.
        """
        lasting = EXPLICIT_SECONDS if self.key else IMPLICIT_SECONDS
        put = self._put(table_name, {"resource_id": resource_id, "retry": self.retry}, now, lasting)
        if self.key:
            put["ConditionExpression"] += " OR #token = :token"
            put["ExpressionAttributeNames"]["#token"] = "token"
            put["ExpressionAttributeValues"][":token"] = {"S": self.token}
        elif not self.retry:
            put["ConditionExpression"] += " OR retry = :no"
            put["ExpressionAttributeValues"][":no"] = {"BOOL": False}
        return {"Put": put}

    def turn(self, table_name: str, now: datetime) -> dict[str, Any]:
        """The put that makes the others with this key wait while this create is at work."""
        return self._put(table_name, {"token": self.token}, now, PENDING_SECONDS)

    def _put(self, table_name: str, facts: dict[str, Any], now: datetime, seconds: int) -> dict[str, Any]:
        moment = int(now.timestamp())
        return {
            "TableName": table_name,
            "Item": table.encode(self.item_key | {"body": self.body, "ttl": moment + seconds} | facts),
            "ConditionExpression": "attribute_not_exists(pk) OR #ttl < :now",
            "ExpressionAttributeNames": {"#ttl": "ttl"},
            "ExpressionAttributeValues": {":now": {"N": str(moment)}},
        }


class Claims:
    """The claims of one table."""

    def __init__(
        self, client: Any, table_name: str, now: clock.Clock = clock.now, wait_seconds: float = WAIT_SECONDS
    ) -> None:
        self._client = client
        self._table = table_name
        self._now = now
        self._wait = wait_seconds

    def write(self, claim: Claim, resource_id: str) -> dict[str, Any]:
        """The write that takes the claim, to be part of the create's transaction."""
        return claim.write(self._table, resource_id, self._now())

    def once(
        self,
        claim: Claim,
        make: Callable[[], Made],
        find: Callable[[str], Made],
        *,
        over: Callable[[Made], bool] = lambda found: False,
    ) -> Made:
        """What `make` makes, or what an equal create has made before it or meanwhile, by its id.

        make: carries out the claim's write together with its own, and lets table.ConditionFailed through; over: what
        has come to its end is not what a client without a key repeats its request for.
        """
        with self.turn(claim) as earlier:
            if earlier:
                found = find(earlier)
                if claim.key or not over(found):
                    _repeated(earlier)
                    return found
                self._forget(claim, earlier)
            try:
                return make()
            except table.ConditionFailed:
                return find(_repeated(self.winner(claim)))

    @contextmanager
    def turn(self, claim: Claim) -> Iterator[str | None]:
        """Id of what an equal create has made; None when it is this caller's turn to make it, inside the block.

        Raises Unprocessable when the key stands for another body, and Conflict when another create with this key
        takes longer than a caller should wait. A block that raises gives its turn to the next.
        """
        earlier = self._awaited(claim) if claim.key else self._made(claim) if claim.retry else None
        try:
            yield earlier
        except Exception:
            if claim.key and earlier is None:
                self._release(claim)
            raise

    def winner(self, claim: Claim) -> str:
        """Id of what an equal create has made while this one was at work, too. Raises Unprocessable and Conflict."""
        made = self._made(claim)
        if made is None:
            raise _in_progress()
        return made

    def _awaited(self, claim: Claim) -> str | None:
        ends = time.monotonic() + self._wait
        while not self._take(claim):
            if made := self._made(claim):
                return made
            if time.monotonic() >= ends:
                raise _in_progress()
            time.sleep(_POLL_SECONDS)
        return None

    def _take(self, claim: Claim) -> bool:
        try:
            self._client.put_item(**claim.turn(self._table, self._now()))
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def _made(self, claim: Claim) -> str | None:
        answer = self._client.get_item(TableName=self._table, Key=table.encode(claim.item_key), ConsistentRead=True)
        held = table.decode(answer["Item"]) if "Item" in answer else None
        if held is None or held["ttl"] < self._now().timestamp():
            return None
        if held["body"] != claim.body:
            raise _reused()
        return held.get("resource_id")

    def _forget(self, claim: Claim, resource_id: str) -> None:
        """Let the next create of a body make something, unless one has meanwhile."""
        with suppress(self._client.exceptions.ConditionalCheckFailedException):
            self._client.delete_item(
                TableName=self._table,
                Key=table.encode(claim.item_key),
                ConditionExpression="resource_id = :id",
                ExpressionAttributeValues={":id": {"S": resource_id}},
            )

    def _release(self, claim: Claim) -> None:
        # Only while it is ours: a create that took too long may have been overtaken. If this fails, it expires.
        with suppress(Exception):
            self._client.delete_item(
                TableName=self._table,
                Key=table.encode(claim.item_key),
                ConditionExpression="#token = :token",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues={":token": {"S": claim.token}},
            )


@contextmanager
def repeats() -> Iterator[list[str]]:
    """The ids of what the block only found, because equal requests had made it before."""
    found: list[str] = []
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


def _repeated(resource_id: str) -> str:
    _found.get([]).append(resource_id)
    return resource_id


def _in_progress() -> Conflict:
    return Conflict(
        "Another request with this Idempotency-Key is still at work.",
        code="idempotency_in_progress",
        remedy="Send it again with the same key.",
        retry_after=2,
    )


def _reused() -> Unprocessable:
    """A key that stands for another body already."""
    return Unprocessable(
        "This Idempotency-Key was used with another body.",
        code="idempotency_key_reused",
        remedy="Send a new key with a new request.",
    )
