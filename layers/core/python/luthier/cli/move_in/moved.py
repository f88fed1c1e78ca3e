"""What was moved already: `moved.json` in the folder, so that nothing is made twice, whenever a run was cut off."""

import fcntl
import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

from luthier.cli.move_in.folder import MOVED
from luthier.cli.stop import Stop

Note = dict[str, Any]


class Moved:
    """By platform, since one folder may move into several: files by the SHA-256 (hex) of what was sent, jobs by their
    old id and base model.

    A note begins with a `key` that is stored before anything is made under it: whoever was cut off before the answer
    came asks again with the same key, and gets what was made.
    """

    def __init__(self, folder: Path, url: str) -> None:
        """Raises Stop while another run holds the folder. The hold ends with `close` or the process."""
        self._path = folder / MOVED
        self._hold = (folder / f".{MOVED}.lock").open("w")
        try:
            fcntl.flock(self._hold, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(url)
        except BlockingIOError:
            self.close()
            raise Stop(f"Another run is at work in {folder}.", "Wait for it, or end it.") from None
        except Stop:
            self.close()
            raise

    def close(self) -> None:
        self._hold.close()

    def _read(self, url: str) -> None:
        try:
            self._all: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            self._here: dict[str, dict[str, Any]] = self._all.setdefault(url, {})
            self._files: dict[str, Note] = self._here.setdefault("files", {})
            self._jobs: dict[str, dict[str, Note]] = self._here.setdefault("jobs", {})
        except FileNotFoundError:
            self._files, self._jobs = {}, {}
            self._all = {url: {"files": self._files, "jobs": self._jobs}}
        except (ValueError, AttributeError) as error:
            message = f"{self._path} cannot be read: {error}."
            raise Stop(message, "Put it right; without it everything is made once more.") from None

    def file(self, sha256: str) -> Note:
        return self._files.setdefault(sha256, {})

    def job(self, job_id: str, base: str) -> Note:
        return self._jobs.setdefault(job_id, {}).setdefault(base, {})

    def save(self) -> None:
        draft = self._path.with_name(f".{MOVED}.part")
        draft.write_text(json.dumps(self._all, indent=2), encoding="utf-8")
        os.replace(draft, self._path)

    def begun(self, note: Note) -> str:
        """The key under which something is made."""
        if "key" not in note:
            note["key"] = uuid.uuid4().hex
            self.save()
        key: str = note["key"]
        return key

    def forget(self, note: Note) -> None:
        note.clear()
        self.save()

    def made(self, note: Note, **facts: Any) -> None:
        note.update(facts)
        self.save()


def digest(content: Path | dict[str, Any]) -> str:
    """SHA-256 (hex)."""
    if isinstance(content, Path):
        with content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
