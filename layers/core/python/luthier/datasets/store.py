"""Datasets in DynamoDB: the file, and beside it one item under its name.

The item under the name has the file's id in its key, so that no two writers ever meet there: the newest file of a
name is the last key, and deleting a file uncovers the one before it.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from luthier import clock, items, table
from luthier.datasets.entity import UPLOADED, Dataset
from luthier.events import outbox
from luthier.events.entity import Event
from luthier.idempotency import Claim, Claims

NOUN = "FILE"
_PAGE = 200


@dataclass(frozen=True)
class Page:
    items: list[Dataset]
    has_more: bool


class DatasetStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def get(self, organization_id: str, dataset_id: str) -> Dataset | None:
        """The file, deleted ones included: one strongly consistent read."""
        key = table.encode(table.key(organization_id, table.file(dataset_id)))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return _dataset(table.decode(answer["Item"])) if "Item" in answer else None

    def newest_of_name(self, organization_id: str, filename: str) -> str | None:
        """Id of the newest file of a name: one query."""
        prefix = table.file_of_name(filename)
        named = self._query(organization_id, prefix, ascending=False, page_size=5)
        # A name that itself contains the separator shares its beginning with others.
        return next((item["id"] for item in named if item["filename"] == filename), None)

    def page(
        self,
        organization_id: str,
        *,
        limit: int,
        after: str | None = None,
        ascending: bool = False,
        purpose: str | None,
    ) -> Page:
        """A page in order of creation. Its cost is the same at any depth; `after` may name a deleted file."""
        start = {"ExclusiveStartKey": table.encode(table.key(organization_id, table.file(after)))} if after else {}
        found: list[Dataset] = []
        size = min(limit + 1, _PAGE)
        for item in self._query(organization_id, table.file(""), ascending=ascending, page_size=size, **start):
            if not item["deleted"] and purpose in (None, item["purpose"]):
                found.append(_dataset(item))
            if len(found) > limit:
                break
        return Page(found[:limit], len(found) > limit)

    def claims(self, now: clock.Clock) -> Claims:
        """The idempotency claims that creates of files join."""
        return Claims(self._client, self._table, now)

    def create(self, dataset: Dataset, verdict: Event | None = None, claim: Claim | None = None) -> None:
        """Write a new file; one without a verdict (awaited, or of a batch) cannot be found by its name.

        Raises table.ConditionFailed when the claim is taken: this create was made before.
        """
        claims = [claim.write(self._table, dataset.id, clock.parse(dataset.created_at))] if claim else []
        table.transact(self._client, [*claims, *self.writes(dataset, verdict)])

    def writes(self, dataset: Dataset, verdict: Event | None) -> list[table.Write]:
        """The writes of a new file."""
        put = self._put(dataset) | {"ConditionExpression": "attribute_not_exists(pk)"}
        told = [{"Put": self._named(dataset)}, outbox.write(verdict, self._table)] if verdict else []
        return [{"Put": put}, *told]

    def finish(self, dataset: Dataset, verdict: Event | None) -> None:
        """Write the verdict over a file's content. Raises table.ConditionFailed when it has one or was deleted.

        The race: two clients report the same upload complete, or one deletes it while the content is checked.
        """
        put = self._put(dataset) | {
            "ConditionExpression": "#status = :awaited AND deleted = :no",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": table.encode({":awaited": UPLOADED, ":no": False}),
        }
        told = [{"Put": self._named(dataset)}, outbox.write(verdict, self._table)] if verdict else []
        table.transact(self._client, [{"Put": put}, *told])

    def revise(self, old: Dataset, new: Dataset) -> None:
        """Write what the sweeper shall do with a file. Raises table.ConditionFailed when somebody was faster."""
        put = self._put(new) | {
            "ConditionExpression": "#status = :status AND deleted = :no",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": table.encode({":status": old.status, ":no": False}),
        }
        if old.due:
            put["ConditionExpression"] += " AND due = :due"
            put["ExpressionAttributeValues"] |= table.encode({":due": old.due})
        table.transact(self._client, [{"Put": put}])

    def withdrawal(self, dataset: Dataset) -> table.Write:
        """The write that takes a file back that nobody has checked."""
        return {
            "Delete": {
                "TableName": self._table,
                "Key": table.encode(table.key(dataset.organization_id, table.file(dataset.id))),
                "ConditionExpression": "#status = :awaited",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": table.encode({":awaited": UPLOADED}),
            }
        }

    def due(self, moment: str) -> Iterator[Dataset]:
        """The files, over all organizations, that the sweeper is to look at since before a moment."""
        return (_dataset(table.decode(row)) for row in items.due_items(self._client, self._table, NOUN, moment))

    def bury(self, dataset: Dataset, *, until: int) -> None:
        """Leave a tombstone in the file's place until a moment (Unix seconds), and free its name."""
        tomb = self._put(dataset, ttl=until)
        key = table.key(dataset.organization_id, table.file_of_name(dataset.filename, dataset.id))
        free = {"TableName": self._table, "Key": table.encode(key)}
        table.transact(self._client, [{"Put": tomb}, {"Delete": free}])

    def _query(
        self, organization_id: str, prefix: str, *, ascending: bool, page_size: int, **request: Any
    ) -> Iterator[table.Item]:
        values = {":pk": table.organization(organization_id), ":prefix": prefix}
        return table.query(
            self._client,
            page_size=page_size,
            TableName=self._table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :prefix)",
            ExpressionAttributeValues=table.encode(values),
            ScanIndexForward=ascending,
            **request,
        )

    def _put(self, dataset: Dataset, **extra: Any) -> dict[str, Any]:
        item = table.key(dataset.organization_id, table.file(dataset.id)) | asdict(dataset) | extra
        if dataset.due:
            item |= {table.LIVE.partition_key: table.live(NOUN), table.LIVE.sort_key: dataset.due}
        return {"TableName": self._table, "Item": table.encode(item)}

    def _named(self, dataset: Dataset) -> dict[str, Any]:
        key = table.key(dataset.organization_id, table.file_of_name(dataset.filename, dataset.id))
        return {"TableName": self._table, "Item": table.encode(key | {"id": dataset.id, "filename": dataset.filename})}


def _dataset(item: table.Item) -> Dataset:
    return Dataset(**{name: item[name] for name in Dataset.__dataclass_fields__ if name in item})
