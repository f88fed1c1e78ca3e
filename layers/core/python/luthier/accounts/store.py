"""API keys in DynamoDB."""

from dataclasses import asdict
from typing import Any

from luthier import table
from luthier.accounts.entity import ApiKey


class KeyStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def put(self, key: ApiKey) -> None:
        """Write the key under its digest and, in the same transaction, in its organization's list."""
        by_digest = table.api_key(key.digest) | asdict(key)
        listed = table.key(key.organization_id, table.listed_api_key(key.id)) | asdict(key)
        self._client.transact_write_items(
            TransactItems=[
                {"Put": {"TableName": self._table, "Item": table.encode(item)}} for item in (by_digest, listed)
            ]
        )

    def find(self, digest: str) -> ApiKey | None:
        """The key behind a digest: one read."""
        answer = self._client.get_item(TableName=self._table, Key=table.encode(table.api_key(digest)))
        return _key(table.decode(answer["Item"])) if "Item" in answer else None


def _key(item: table.Item) -> ApiKey:
    known = {name: item.get(name) for name in ApiKey.__dataclass_fields__}
    return ApiKey(**known | {"scopes": tuple(item["scopes"])})
