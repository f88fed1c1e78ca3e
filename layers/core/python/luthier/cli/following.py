"""Lists that are newest first, followed as they grow."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

from luthier.client.errors import ConnectionFailed, RateLimited, ServiceUnavailable

Row = TypeVar("Row")
PAUSE_SECONDS = 2.0
# So many of the newest rows are looked at each time: one may come late, and stand behind others.
WINDOW = 100
# Looks in a row that may fail: an outage of minutes is outlasted.
_FAULTS = 30


def follow(newest: Callable[[], Iterable[Row]], *, shown: int, go_on: bool = True) -> Iterator[Row]:
    """The newest `shown` rows, oldest first; then each that is new, for ever. Rows are known by their id."""
    begin = list(islice(newest(), max(WINDOW, shown)))
    # More than a window: what has left it cannot come back.
    known = deque((row.id for row in begin), maxlen=100 * WINDOW)  # type: ignore[attr-defined]
    yield from reversed(begin[:shown])
    faults = 0
    while go_on:
        time.sleep(PAUSE_SECONDS)
        try:
            fresh, faults = list(_unknown(newest(), known)), 0
        except (ConnectionFailed, RateLimited, ServiceUnavailable):
            faults += 1
            if faults > _FAULTS:
                raise
            continue
        known.extend(row.id for row in fresh)  # type: ignore[attr-defined]
        yield from reversed(fresh)


def _unknown(rows: Iterable[Row], known: deque[str]) -> Iterator[Row]:
    for number, row in enumerate(rows):
        if row.id not in known:  # type: ignore[attr-defined]
            yield row
        elif number >= WINDOW - 1:
            return
