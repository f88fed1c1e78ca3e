"""The audit log in DynamoDB. Rows are written once; nothing here changes or removes one.

IAM does not enforce that: its condition on the keys of a request (dynamodb:LeadingKeys) sees partition keys only, and
the rows share their organization's with everything else that functions have to change.
"""

from dataclasses import asdict
from typing import Any

from luthier import table
from luthier.audit.entity import Entry


class AuditStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def append(self, entry: Entry, *, until: int) -> None:
        """Write an entry; `until`: Unix seconds after which it may be deleted."""
        item = table.key(entry.organization_id, table.audit(entry.id)) | asdict(entry) | {"ttl": until}
        self._client.put_item(
            TableName=self._table, Item=table.encode(item), ConditionExpression="attribute_not_exists(pk)"
        )

    def newest(self, organization_id: str, *, limit: int, after: str | None) -> tuple[list[Entry], bool]:
        """A page of entries, newest first, and whether older ones follow: one query."""
        prefix = table.audit("")
        items, more = table.newest(self._client, self._table, organization_id, prefix, limit=limit, after=after)
        return list(map(_entry, items)), more


def _entry(item: table.Item) -> Entry:
    return Entry(**{name: item[name] for name in Entry.__dataclass_fields__ if name in item})
