"""Reading and counting items of the table: what the stores of several nouns have in common."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from luthier import table
from luthier.errors import LuthierError


def due_items(client: Any, name: str, noun: str, moment: str) -> Iterator[dict[str, Any]]:
    """The items of a noun, over all organizations, that wait for something since before a moment (ISO 8601 UTC), the
    longest waiting first; as the table now has them, not decoded.
    """
    for item in table.query(
        client,
        TableName=name,
        IndexName=table.LIVE.name,
        KeyConditionExpression=f"{table.LIVE.partition_key} = :live AND {table.LIVE.sort_key} < :moment",
        ExpressionAttributeValues={":live": {"S": table.live(noun)}, ":moment": {"S": moment}},
    ):
        place = table.encode({part: item[part] for part in ("pk", "sk")})
        row = client.get_item(TableName=name, Key=place, ConsistentRead=True).get("Item", {})
        # The index may lag behind: only what still stands in it is due.
        if table.LIVE.partition_key in row:
            yield row


def get_many(client: Any, name: str, keys: Sequence[table.Item]) -> Iterator[table.Item]:
    """The items behind up to 100 keys, in no order, strongly consistent: one call, more where the items are large."""
    asked: dict[str, Any] = (
        {name: {"Keys": [table.encode(key) for key in keys], "ConsistentRead": True}} if keys else {}
    )
    while asked:
        answer = client.batch_get_item(RequestItems=asked)
        yield from map(table.decode, answer["Responses"].get(name, []))
        asked = answer.get("UnprocessedKeys", {})


def count_live(
    name: str, organization_id: str, noun: str, change: int, *, most: int, too_many: LuthierError
) -> table.Write:
    """The write that counts something alive in (1) or out (-1); beyond `most` the transaction raises `too_many`."""
    counted = count(name, organization_id, noun, {"live": change})
    if change < 0:
        return counted
    update = counted["Update"]
    update["ConditionExpression"] = "attribute_not_exists(#c0) OR #c0 < :most"
    update["ExpressionAttributeValues"] |= table.encode({":most": most})
    return table.Guarded(counted, too_many)


def count(name: str, organization_id: str, noun: str, changes: Mapping[str, int]) -> dict[str, Any]:
    """The write that adds to the counters of an organization's noun, to be part of the change's transaction."""
    return {
        "Update": {
            "TableName": name,
            "Key": table.encode(table.key(organization_id, table.counters(noun))),
            "UpdateExpression": "ADD " + ", ".join(f"#c{i} :c{i}" for i in range(len(changes))),
            "ExpressionAttributeNames": {f"#c{i}": counter for i, counter in enumerate(changes)},
            "ExpressionAttributeValues": {f":c{i}": {"N": str(n)} for i, n in enumerate(changes.values())},
        }
    }
