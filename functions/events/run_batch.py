"""Take one turn of each batch. Messages whose turn could not be taken come again."""

from typing import Any

from luthier import wiring
from luthier.batches.queue import Message


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    messages = {record["messageId"]: Message.read(record["body"]) for record in event["Records"]}
    return {"batchItemFailures": [{"itemIdentifier": name} for name in wiring.batch_worker().take_all(messages)]}
