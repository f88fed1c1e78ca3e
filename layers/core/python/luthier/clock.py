"""Time as the platform stores and shows it: UTC, whole seconds, ISO 8601 with `Z`."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def now() -> datetime:
    """The present moment, aware, in UTC. Services take a `Clock` so that tests can move it."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """`2025-02-01T10:00:00Z`."""
    # Not strftime, which writes the year 1 as "1".
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def parse(text: str) -> datetime:
    """The moment that an ISO 8601 text names; a text without an offset is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def epoch(text: str) -> int:
    """Unix seconds of a stored timestamp."""
    return int(parse(text).timestamp())


def of_epoch(seconds: int) -> datetime:
    """The moment of Unix seconds. Raises OverflowError or ValueError beyond what a calendar holds."""
    return datetime.fromtimestamp(seconds, UTC)
