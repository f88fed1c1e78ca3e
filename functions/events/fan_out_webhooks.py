"""Turn each event of the bus into one delivery per webhook that wants it."""

import json
from typing import Any

from luthier import wiring
from luthier.events.entity import Event


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    facts = {record["messageId"]: Event(**json.loads(record["body"])["detail"]) for record in event["Records"]}
    return {"batchItemFailures": [{"itemIdentifier": name} for name in wiring.fan_out().spread_all(facts)]}
