"""Saves the whole cloud as one file, so that a killed cloud comes back whole.

The emulator saves only at shutdown, one file per service. Here all services are taken in one turn of the event loop
(no request runs meanwhile, so the set is consistent) and replace the last snapshot in one rename. Object bodies are
not in it: the emulator writes them to disk before it answers, so they can only be ahead of the snapshot.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack.core import persistence

log = logging.getLogger("luthier.snapshots")

# A kill loses at most the pause plus one save; the promise is 5 seconds.
PAUSE_SECONDS = 1.5
State = dict[str, Any]


class Snapshots:
    """The snapshot file of one cloud.

    Args:
        path: the file; its folder is created.
        collect: service name → function that returns the service's state, or None when there is nothing to save.
    """

    def __init__(self, path: Path, collect: Callable[[], dict[str, Callable[[], State | None]]]) -> None:
        self._path = path
        self._collect = collect
        self._loaded: State | None = None
        self._requests = 0
        self._saved_requests = -1
        self._last: bytes = b""
        self.failure: str | None = None
        path.parent.mkdir(parents=True, exist_ok=True)

    def touch(self) -> None:
        """Note that a request was served: the state may have changed."""
        self._requests += 1

    def load(self, service: str) -> State | None:
        """What the service had at the last snapshot; None when it had nothing."""
        if self._loaded is None:
            self._loaded = self._read()
        return self._loaded.get(service)

    def _read(self) -> State:
        if not self._path.exists():
            return {}
        with self._path.open(encoding="utf-8") as file:
            return json.load(file, object_hook=persistence._json_object_hook)

    def encode(self) -> bytes:
        """All services in one document. Must run on the event loop, where no request can interleave."""
        states = {name: _settled(name, get_state) for name, get_state in sorted(self._collect().items())}
        kept = {name: state for name, state in states.items() if state is not None}
        return json.dumps(kept, default=persistence._json_default, separators=(",", ":")).encode()

    def write(self, document: bytes) -> None:
        """Replace the snapshot in one rename; a full disk keeps the last one and is reported once."""
        if document == self._last:
            return
        temporary = self._path.with_suffix(".tmp")
        try:
            _write_durably(temporary, document)
            os.replace(temporary, self._path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            self._report(error)
            return
        self._last, self.failure = document, None

    def _report(self, error: OSError) -> None:
        message = f"The state could not be saved to {self._path}: {error.strerror}. Free space on this disk."
        if message != self.failure:
            log.error(message)
        self.failure = message

    def save(self) -> None:
        """Take and write a snapshot now."""
        self.write(self.encode())

    async def keep_saving(self) -> None:
        """Save whenever something may have changed, until cancelled."""
        while True:
            started = time.monotonic()
            if self._requests != self._saved_requests or self.failure:
                self._saved_requests = self._requests
                document = self.encode()
                await asyncio.to_thread(self.write, document)
            spent = time.monotonic() - started
            await asyncio.sleep(max(PAUSE_SECONDS, min(spent * 5, 3.0)))


def _settled(name: str, get_state: Callable[[], State | None]) -> State | None:
    """A service's state; threads of running executions may be writing to it, so a torn copy is taken again."""
    for attempt in range(20):
        try:
            return get_state()
        except RuntimeError:  # "dictionary changed size during iteration"
            time.sleep(0.002 * attempt)
    raise RuntimeError(f"The state of {name} never stood still long enough to be saved.")


def _write_durably(path: Path, document: bytes) -> None:
    with path.open("wb") as file:
        file.write(document)
        file.flush()
        os.fsync(file.fileno())
