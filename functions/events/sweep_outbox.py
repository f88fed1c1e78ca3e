"""Every minute: publish the events that the table's stream did not bring to the bus."""

from typing import Any

from luthier import wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    return {"published": wiring.publisher().sweep()}
