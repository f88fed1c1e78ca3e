"""Imports in DynamoDB, one item each, which is gone after 30 days."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from luthier import clock, table
from luthier.imports.entity import File, Import

_KEPT_SECONDS = 30 * 24 * 3600


class ImportStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def get(self, organization_id: str, import_id: str) -> Import | None:
        """The import of an id: one read."""
        key = table.encode(table.key(organization_id, table.model_import(import_id)))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return _import(table.decode(answer["Item"])) if "Item" in answer else None

    def create(self, imported: Import, joined: Sequence[table.Write]) -> None:
        """Write a new import together with other nouns' writes. Raises table.ConditionFailed when a claim is taken."""
        item = table.key(imported.organization_id, table.model_import(imported.id)) | asdict(imported)
        item["ttl"] = clock.epoch(imported.created_at) + _KEPT_SECONDS
        new = {"TableName": self._table, "ConditionExpression": "attribute_not_exists(pk)"}
        table.transact(self._client, [{"Put": new | {"Item": table.encode(item)}}, *joined])


def _import(item: table.Item) -> Import:
    known = {name: item[name] for name in Import.__dataclass_fields__ if name in item}
    return Import(**known | {"files": [File(**file) for file in item["files"]]})
