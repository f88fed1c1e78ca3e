"""Carry the outbox from the table's stream to the event bus. Records that the bus refuses are read again."""

from typing import Any

from luthier import wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    records = event["Records"]
    refused = wiring.publisher().publish([record["dynamodb"]["NewImage"] for record in records])
    return {"batchItemFailures": [{"itemIdentifier": records[i]["dynamodb"]["SequenceNumber"]} for i in refused]}
