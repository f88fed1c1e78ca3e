"""Post deliveries to their receivers. Messages whose outcome could not be written come again."""

from typing import Any

from luthier import wiring
from luthier.webhooks.queues import Message


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    messages = {record["messageId"]: Message.read(record["body"]) for record in event["Records"]}
    return {"batchItemFailures": [{"itemIdentifier": name} for name in wiring.courier().deliver(messages)]}
