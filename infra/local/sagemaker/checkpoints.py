"""Checkpoints of a running job, copied to S3 while it trains and back at the next start."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from infra.local.sagemaker.storage import Stamp, Storage, stamped_files

_UNFINISHED = (".tmp", ".part", ".partial")


class CheckpointSync:
    """One job's checkpoint folder and its prefix in S3.

    A file travels once it stood still between two looks, so no half-written file arrives. Files of lines are
    appended to all the time: they travel at once, cut after their last whole line.
    """

    def __init__(self, storage: Storage, folder: Path, uri: str, kms_key: str | None) -> None:
        self._storage = storage
        self._folder = folder
        self._uri = uri.rstrip("/")
        self._kms_key = kms_key
        self._sent: dict[Path, Stamp] = {}
        self._seen: dict[Path, Stamp] = {}

    def restore(self) -> None:
        """Bring back what an earlier run left, so that this one can continue from it."""
        self._storage.download(self._uri, self._folder)
        self._sent = dict(self._stamps())

    def sync(self, final: bool = False) -> None:
        """Send what is new and complete; `final` sends everything, for the process has ended."""
        seen = dict(self._stamps())
        for path, stamp in seen.items():
            if self._sent.get(path) == stamp:
                continue
            if final or path.suffix == ".jsonl" or self._seen.get(path) == stamp:
                # The trainer deletes old checkpoints at any moment; then there is nothing to send.
                with contextlib.suppress(FileNotFoundError):
                    self._send(path)
                    self._sent[path] = stamp
        self._seen = seen

    def _stamps(self) -> Iterator[tuple[Path, Stamp]]:
        return ((path, stamp) for path, stamp in stamped_files(self._folder) if path.suffix not in _UNFINISHED)

    def _send(self, path: Path) -> None:
        uri = f"{self._uri}/{path.relative_to(self._folder).as_posix()}"
        if path.suffix == ".jsonl":
            lines = path.read_bytes()
            self._storage.upload(lines[: lines.rfind(b"\n") + 1], uri, self._kms_key)
        else:
            self._storage.upload(path, uri, self._kms_key)
