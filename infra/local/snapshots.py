"""Saves the whole cloud as one file, so that a killed cloud comes back whole.

The emulator saves only at shutdown, one file per service. Here all services are taken in one turn of the event loop
(no request runs meanwhile, so the set is consistent) and replace the last snapshot in one rename. Object bodies are
not in it: the emulator writes them to disk before it answers, so they can only be ahead of the snapshot.
"""

import asyncio
import errno
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.local import emulator
from infra.local.options import ACCOUNT

log = logging.getLogger("luthier.snapshots")

# A kill loses at most the pause plus one save; the promise is 5 seconds.
PAUSE_SECONDS = 1.5
# Large, and changed by requests to itself only: encoded again after such a request, not every time.
RARELY_CHANGED = frozenset({"cloudformation"})
# Bytes from this size on (functions' code, layers) lie in files of their own, named by their hash.
_BLOB_BYTES = 64 * 1024
State = dict[str, Any]
# http://localhost:4566/000000000000/name, in the queues themselves and in the environments of functions.
_QUEUE = re.compile(rf"(http://[\w.]+:)\d+(/{ACCOUNT}/)")


class Snapshots:
    """The snapshot file of one cloud.

    Args:
        path: the file; its folder is created.
        aws_port: where the services answer in this life. Addresses of queues, which the state holds, are led there.
        collect: service name → function that returns the service's state, or None when there is nothing to save.
    """

    def __init__(self, path: Path, aws_port: int, collect: Callable[[], dict[str, Callable[[], State | None]]]) -> None:
        self._path = path
        self._aws_port = aws_port
        self._blobs = Blobs(path.parent / "blobs")
        self._collect = collect
        self._loaded: State | None = None
        self._requests = 0
        self._saved_requests = -1
        self._texts: dict[str, str] = {}
        self._last = b""
        self.failure: str | None = None
        path.parent.mkdir(parents=True, exist_ok=True)

    def touch(self) -> None:
        """Note that a request was served: the state may have changed."""
        self._requests += 1

    def touch_service(self, name: str) -> None:
        """Note that a rarely changed service was asked for something."""
        self._texts.pop(name, None)

    def load(self, service: str) -> State | None:
        """What the service had at the last snapshot; None when it had nothing."""
        if self._loaded is None:
            self._loaded = self._read()
        return self._loaded.get(service)

    def _read(self) -> State:
        if not self._path.exists():
            return {}
        decode = emulator.state_decoder()
        text = with_queues_at(self._aws_port, self._path.read_text(encoding="utf-8"))
        return json.loads(text, object_hook=lambda found: self._blobs.read(found) or decode(found))

    def encode(self) -> bytes:
        """All services in one document. Must run on the event loop, where no request can interleave."""
        for name, get_state in self._collect().items():
            if name not in self._texts or name not in RARELY_CHANGED:
                self._texts[name] = self._encoded(name, get_state)
        members = [f"{json.dumps(name)}:{text}" for name, text in sorted(self._texts.items()) if text != "null"]
        return ("{" + ",\n".join(members) + "}").encode()

    def _encoded(self, name: str, get_state: Callable[[], State | None]) -> str:
        encode = emulator.state_encoder()
        state = _settled(name, get_state)
        return json.dumps(state, default=lambda found: self._blobs.keep(found) or encode(found), separators=(",", ":"))

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

    def _report(self, error: OSError | RuntimeError) -> None:
        remedy = "Free space on this disk." if getattr(error, "errno", None) == errno.ENOSPC else "Trying again."
        message = f"The state could not be saved to {self._path}: {error}. {remedy}"
        if message != self.failure:
            log.error(message)
        self.failure = message

    def take(self) -> bytes | None:
        """`encode`, but a failure is reported and gives None: the next try may fare better."""
        try:
            return self.encode()
        except (OSError, RuntimeError) as error:
            self._report(error)
            return None

    def save(self) -> None:
        """Take and write a snapshot now."""
        document = self.take()
        if document:
            self.write(document)

    async def keep_saving(self) -> None:
        """Save whenever something may have changed, until cancelled."""
        while True:
            if self._requests != self._saved_requests or self.failure:
                self._saved_requests = self._requests
                started = time.monotonic()
                document = self.take()
                if document:
                    log.debug("%d bytes taken in %.3f s", len(document), time.monotonic() - started)
                    await asyncio.to_thread(self.write, document)
            await asyncio.sleep(PAUSE_SECONDS)


class Blobs:
    """Large byte strings as files named by their content; written once, so a snapshot stays small."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # By identity, with the bytes kept alive: hashing megabytes at every save would cost as much as writing them.
        self._known: dict[int, tuple[bytes, str]] = {}

    def keep(self, found: Any) -> dict[str, str] | None:
        """The reference that stands for these bytes, None for what is no blob."""
        if not isinstance(found, bytes) or len(found) < _BLOB_BYTES:
            return None
        known = self._known.get(id(found))
        if known is None:
            known = (found, self._write(found))
            self._known[id(found)] = known
        return {"__blob__": known[1]}

    def _write(self, content: bytes) -> str:
        name = hashlib.sha256(content).hexdigest()
        path = self._folder / name
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            _write_durably(path.with_suffix(".tmp"), content)
            path.with_suffix(".tmp").replace(path)
        return name

    def read(self, found: dict[str, Any]) -> bytes | None:
        """The bytes that a reference stands for, None for what is no reference."""
        return (self._folder / found["__blob__"]).read_bytes() if "__blob__" in found else None


def with_queues_at(aws_port: int, text: str) -> str:
    """A saved state whose queues have their addresses at this port, whatever port the cloud had when it was saved."""
    return _QUEUE.sub(rf"\g<1>{aws_port}\g<2>", text)


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
