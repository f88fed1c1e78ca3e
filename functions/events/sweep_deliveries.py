"""Every minute: send a message for each delivery that is due and has none on its way."""

from typing import Any

from luthier import wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    return {"sent": wiring.courier().sweep()}
