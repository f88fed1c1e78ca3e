"""Every minute: check the files that no request has checked, and delete those whose time is over."""

from typing import Any

from luthier import wiring


def handler(event: dict[str, Any], context: Any) -> dict[str, list[str]]:
    return wiring.file_sweeper().sweep()
