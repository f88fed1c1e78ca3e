"""API keys and organizations in DynamoDB."""

from dataclasses import asdict
from typing import Any

from luthier import clock, table
from luthier.accounts.entity import ApiKey, Organization
from luthier.idempotency import Claim, Claims


class KeyStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def claims(self, now: clock.Clock) -> Claims:
        return Claims(self._client, self._table, now)

    def put(self, key: ApiKey, claim: Claim | None = None) -> None:
        """Write the key under its digest and, in the same transaction, in its organization's list.

        Raises table.ConditionFailed when the claim is taken: this create was made before.
        """
        table.transact(self._client, self._creation(key, claim))

    def replace(self, old: ApiKey, new: ApiKey, successor: ApiKey | None = None, claim: Claim | None = None) -> None:
        """Write `new` in place of `old`, and its successor with it. Raises table.ConditionFailed."""
        unchanged = {
            "ConditionExpression": "version = :seen",
            "ExpressionAttributeValues": {":seen": {"N": str(old.version)}},
        }
        changed = [{"Put": write["Put"] | unchanged} for write in self._writes(new)]
        table.transact(self._client, [*changed, *(self._creation(successor, claim) if successor else [])])

    def find(self, digest: str) -> ApiKey | None:
        """The key behind a digest: one read, strongly consistent because a revoked key must not linger."""
        return self._read(table.api_key(digest))

    def get(self, organization_id: str, key_id: str) -> ApiKey | None:
        """The key of an id: one read."""
        return self._read(table.key(organization_id, table.listed_api_key(key_id)))

    def newest(self, organization_id: str, *, limit: int, after: str | None) -> tuple[list[ApiKey], bool]:
        """A page of keys, newest first, and whether older ones follow: one query."""
        prefix = table.listed_api_key("")
        items, more = table.newest(self._client, self._table, organization_id, prefix, limit=limit, after=after)
        return [_key(item) for item in items], more

    def note_use(self, key: ApiKey, now: str) -> None:
        """Remember that the key was used now."""
        update = {
            "TableName": self._table,
            "UpdateExpression": "SET last_used_at = :now",
            "ConditionExpression": "attribute_exists(pk)",
            "ExpressionAttributeValues": {":now": {"S": now}},
        }
        table.transact(self._client, [{"Update": update | {"Key": table.encode(place)}} for place in _places(key)])

    def organization(self, organization_id: str) -> Organization:
        """The organization's own limits: one read."""
        place = table.encode(table.key(organization_id, table.ORGANIZATION))
        item = table.decode(self._client.get_item(TableName=self._table, Key=place).get("Item", {}))
        known = {name: item[name] for name in Organization.__dataclass_fields__ if name in item}
        return Organization(**known | {"id": organization_id})

    def put_organization(self, organization: Organization) -> None:
        item = table.key(organization.id, table.ORGANIZATION) | asdict(organization)
        self._client.put_item(TableName=self._table, Item=table.encode(item))

    def _creation(self, key: ApiKey, claim: Claim | None) -> list[dict[str, Any]]:
        claims = [claim.write(self._table, key.id, clock.parse(key.created_at))] if claim else []
        return [*claims, *self._writes(key)]

    def _writes(self, key: ApiKey) -> list[dict[str, Any]]:
        items = [place | asdict(key) for place in _places(key)]
        return [{"Put": {"TableName": self._table, "Item": table.encode(item)}} for item in items]

    def _read(self, place: table.Item) -> ApiKey | None:
        answer = self._client.get_item(TableName=self._table, Key=table.encode(place), ConsistentRead=True)
        return _key(table.decode(answer["Item"])) if "Item" in answer else None


def _places(key: ApiKey) -> tuple[table.Item, table.Item]:
    return table.api_key(key.digest), table.key(key.organization_id, table.listed_api_key(key.id))


def _key(item: table.Item) -> ApiKey:
    known = {name: item[name] for name in ApiKey.__dataclass_fields__ if name in item}
    return ApiKey(**known | {"scopes": tuple(item["scopes"])})
