"""Every minute: send a message for each batch whose message, or whose worker, was lost."""

from typing import Any

from luthier import wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, int]:
    return {"sent": wiring.batch_worker().sweep()}
