"""Claims that make a create happen once: written in the transaction of the thing they protect.

An explicit claim is the client's `Idempotency-Key`. An implicit one is the body itself: the `openai` client repeats a
POST after a 503 or a lost connection without any key and tells only by `x-stainless-retry-count`.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from luthier import table
from luthier.accounts.entity import Principal
from luthier.errors import Unprocessable

EXPLICIT_SECONDS = 24 * 3600
IMPLICIT_SECONDS = 10 * 60


def fingerprint(body: dict[str, Any]) -> str:
    """SHA-256 (hex) of a body, the same for every order of its keys."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Claim:
    """One create of one principal on one route. `retry` = the client says that it repeats itself."""

    principal: Principal
    route: str
    body: str
    key: str | None
    retry: bool

    @property
    def item_key(self) -> table.Item:
        name = self.key or f"body#{self.principal.key_id}#{self.body}"
        return table.key(self.principal.organization_id, table.idempotency(self.route, name))

    def write(self, table_name: str, resource_id: str, now: datetime) -> dict[str, Any]:
        """The write that takes the claim, and fails when the same create was already made.

        Two equal bodies without a key and without a retry are two creates. A first try that arrives after its own
        retry (the client gave up on it, the network did not) finds the retry's claim and is refused.
        """
        moment = int(now.timestamp())
        free = "attribute_not_exists(pk) OR #ttl < :now"
        values: dict[str, Any] = {":now": {"N": str(moment)}}
        if not self.key and not self.retry:
            free += " OR retry = :no"
            values[":no"] = {"BOOL": False}
        item = self.item_key | {
            "body": self.body,
            "resource_id": resource_id,
            "retry": self.retry,
            "ttl": moment + (EXPLICIT_SECONDS if self.key else IMPLICIT_SECONDS),
        }
        return {
            "Put": {
                "TableName": table_name,
                "Item": table.encode(item),
                "ConditionExpression": free,
                "ExpressionAttributeNames": {"#ttl": "ttl"},
                "ExpressionAttributeValues": values,
            }
        }


def reused() -> Unprocessable:
    """A key that stands for another body already."""
    return Unprocessable(
        "This Idempotency-Key was used with another body.",
        code="idempotency_key_reused",
        remedy="Send a new key with a new request.",
    )


def holder(client: Any, table_name: str, claim: Claim) -> table.Item | None:
    """The claim as it stands: `body` and `resource_id` of the create that was made first."""
    answer = client.get_item(TableName=table_name, Key=table.encode(claim.item_key), ConsistentRead=True)
    return table.decode(answer["Item"]) if "Item" in answer else None
