"""Every few minutes: delete the archived models whose time is over, and the objects of deleted ones."""

from typing import Any

from luthier import wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    return wiring.retention().sweep()
