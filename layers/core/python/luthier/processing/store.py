"""Processings in DynamoDB, one item per wish of an organization."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from luthier import items, table
from luthier.errors import RateLimited
from luthier.events import outbox
from luthier.events.entity import Event
from luthier.processing.entity import Processing

NOUN = "PROCESSING"


class ProcessingStore:
    """most_live: processings that an organization may have waiting or running."""

    def __init__(self, client: Any, table_name: str, *, most_live: int = 20) -> None:
        self._client = client
        self._table = table_name
        self._most_live = most_live

    def get(self, organization_id: str, processing_id: str) -> Processing | None:
        """The processing of an id: one read."""
        key = table.encode(table.key(organization_id, table.processing(processing_id)))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return _processing(table.decode(answer["Item"])) if "Item" in answer else None

    def of_subject(self, organization_id: str, kind: str, subject: str, *, limit: int | None = 100) -> list[Processing]:
        """The newest processings of one kind on one model, or all: a query, and a read of all that it finds."""
        rows = table.query(
            self._client,
            page_size=limit,
            TableName=self._table,
            IndexName=table.SECOND_FACET.name,
            KeyConditionExpression=f"{table.SECOND_FACET.partition_key} = :subject",
            ExpressionAttributeValues={":subject": {"S": _subject(organization_id, kind, subject)}},
            ScanIndexForward=False,
        )
        found = (self.get(organization_id, row["id"]) for row in islice(rows, limit))
        return [processing for processing in found if processing]

    def save(
        self,
        old: Processing | None,
        new: Processing,
        event: Event | None = None,
        joined: Sequence[table.Write] = (),
    ) -> None:
        """Write a processing in place of `old`, with other nouns' writes.

        Raises table.ConditionFailed when somebody else was faster, RateLimited when too many are live.
        """
        told = [outbox.write(event, self._table)] if event else []
        table.transact(self._client, [*self.writes(old, new), *told, *joined])

    def writes(self, old: Processing | None, new: Processing) -> list[table.Write]:
        """The writes of a processing in place of `old`; in a transaction they raise what `save` raises."""
        item = table.key(new.organization_id, table.processing(new.id)) | asdict(new)
        item |= {
            table.SECOND_FACET.partition_key: _subject(new.organization_id, new.kind, new.subject),
            table.SECOND_FACET.sort_key: f"{new.created_at}#{new.id}",
        }
        if new.is_live:
            item |= {table.LIVE.partition_key: table.live(NOUN), table.LIVE.sort_key: new.id}
        put: dict[str, Any] = {"TableName": self._table, "Item": table.encode(item)}
        if old is None:
            put["ConditionExpression"] = "attribute_not_exists(pk)"
        else:
            put["ConditionExpression"] = "writes = :seen"
            put["ExpressionAttributeValues"] = {":seen": {"N": str(old.writes)}}
        change = int(new.is_live) - int(bool(old and old.is_live))
        return [{"Put": put}, *([self._count(new.organization_id, change)] if change else [])]

    def _count(self, organization_id: str, change: int) -> table.Write:
        too_many = _too_many(self._most_live)
        return items.count_live(self._table, organization_id, NOUN, change, most=self._most_live, too_many=too_many)

    def remove(self, processing: Processing) -> None:
        """Raises table.ConditionFailed when somebody has changed it since it was read, or removed it."""
        key = table.key(processing.organization_id, table.processing(processing.id))
        delete = {
            "TableName": self._table,
            "Key": table.encode(key),
            "ConditionExpression": "writes = :seen",
            "ExpressionAttributeValues": {":seen": {"N": str(processing.writes)}},
        }
        table.transact(self._client, [{"Delete": delete}])

    def live(self) -> Iterator[tuple[str, str]]:
        """(organization, id) of every processing that has not ended, over all organizations."""
        return table.live_items(self._client, self._table, NOUN)


def _too_many(most: int) -> RateLimited:
    return RateLimited(
        f"{most} evaluations, packages, imports and previews wait or run, as many as an organization may have.",
        code="concurrent_processings_exceeded",
        details={"organization_limit": most},
        remedy="Wait until one ends.",
        retry_after=60,
    )


def _subject(organization_id: str, kind: str, subject: str) -> str:
    return table.facet(organization_id, NOUN, kind.upper(), subject)


def _processing(item: table.Item) -> Processing:
    return Processing(**{name: item[name] for name in Processing.__dataclass_fields__ if name in item})
