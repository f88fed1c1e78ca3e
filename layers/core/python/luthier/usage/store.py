"""Usage counters in DynamoDB."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from luthier import table
from luthier.usage.entity import Row, Use


class UsageStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def add(self, organization_id: str, row: Row) -> tuple[int, int]:
        """Count a use, atomically. The day's (microcents, cents debited so far) of this kind and model."""
        answer = self._client.update_item(**self._addition(organization_id, row), ReturnValues="ALL_NEW")
        item = table.decode(answer["Attributes"])
        return item["microcents"], item.get("debited_cents", 0)

    def addition(self, organization_id: str, row: Row) -> table.Write:
        """The write that counts a use, to be part of a transaction."""
        return {"Update": self._addition(organization_id, row)}

    def debit(self, organization_id: str, row: Row, *, seen: int, debited: int) -> table.Write:
        """The write that notes up to which cent this kind and model were charged; it fails when somebody else did."""
        known = "debited_cents = :seen" if seen else "attribute_not_exists(debited_cents)"
        values = {":debited": debited} | ({":seen": seen} if seen else {})
        update = {
            "TableName": self._table,
            "Key": self._place(organization_id, row),
            "UpdateExpression": "SET debited_cents = :debited",
            "ConditionExpression": known,
            "ExpressionAttributeValues": table.encode(values),
        }
        return {"Update": update}

    def rows(self, organization_id: str, start: str, end: str) -> Iterator[Row]:
        """Rows of the days from `start` to before `end`, read page by page."""
        for item in table.query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="pk = :p AND sk BETWEEN :start AND :end",
            ExpressionAttributeValues=table.encode(
                {
                    ":p": table.organization(organization_id),
                    ":start": table.usage(start),
                    ":end": table.usage(end),
                }
            ),
        ):
            use = Use(**{name: item[name] for name in Use.__dataclass_fields__ if name in item})
            yield Row(item["day"], item["kind"], item["model"], use)

    def _addition(self, organization_id: str, row: Row) -> dict[str, Any]:
        # Zeros are added too, so that every row has every counter.
        amounts = asdict(row.use)
        sums = ", ".join(f"{name} :{name}" for name in amounts)
        values = {f":{name}": amount for name, amount in amounts.items()}
        return {
            "TableName": self._table,
            "Key": self._place(organization_id, row),
            "UpdateExpression": f"ADD {sums} SET #day = :day, kind = :kind, model = :model",
            "ExpressionAttributeNames": {"#day": "day"},
            "ExpressionAttributeValues": table.encode(
                values | {":day": row.day, ":kind": row.kind, ":model": row.model}
            ),
        }

    def _place(self, organization_id: str, row: Row) -> dict[str, Any]:
        return table.encode(table.key(organization_id, table.usage(row.day or "", row.kind or "", row.model or "")))
