"""Everything of fine-tuning that an OpenAI API still has, as plain files in a folder.

    jobs/<id>.json               the job, as the API shows it
    jobs/<id>.events.jsonl       its events, newest first
    jobs/<id>.checkpoints.jsonl  its checkpoints, newest first
    files/<id>.json              the file's name, size and purpose
    files/<id>.jsonl             the content of a dataset
    files/<id>.csv               the content of a result file

A file has its name only when it is whole, so an export that was cut off goes on where it was.
"""

import base64
import binascii
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from luthier.cli.move_in.asking import Api, Refused
from luthier.cli.stop import Stop

ENDED = ("succeeded", "failed", "cancelled")
_DATASETS, _RESULTS = "fine-tune", "fine-tune-results"
# What cannot be had any more, or never could with this key; the rest of an export does not depend on it.
_GONE = (400, 403, 404, 410)
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


class Export:
    """missing: a sentence for each thing that could not be had; downloaded: contents that this run has fetched."""

    def __init__(self, api: Api, folder: Path, tell: Callable[[str], None]) -> None:
        self._api, self._folder, self._tell = api, folder, tell
        self.jobs = self.files = self.downloaded = 0
        self.missing: list[str] = []

    def run(self) -> None:
        """Raises Stop where the API cannot be asked at all."""
        for part in ("jobs", "files"):
            (self._folder / part).mkdir(parents=True, exist_ok=True)
        wanted: dict[str, str] = {}
        for job in self._api.pages("/fine_tuning/jobs", 100):
            self._job(job)
            wanted |= {name: _DATASETS for name in (job.get("training_file"), job.get("validation_file")) if name}
            wanted |= dict.fromkeys(job.get("result_files") or (), _RESULTS)
        known = self._listed()
        kinds = {name: row["purpose"] for name, row in known.items() if row.get("purpose") in (_DATASETS, _RESULTS)}
        for file_id, kind in (kinds | wanted).items():
            self._file(file_id, kind, known.get(file_id))

    def _job(self, job: dict[str, Any]) -> None:
        path = self._folder / "jobs" / f"{_safe(job.get('id'))}.json"
        self.jobs += 1
        self._tell(f"{job['id']} {job.get('fine_tuned_model') or job.get('status')}")
        ended = path.exists() and _status(path) in ENDED
        for kind in ("events", "checkpoints"):
            rows = path.with_suffix(f".{kind}.jsonl")
            if ended and rows.exists():
                continue
            try:
                found = list(self._api.pages(f"/fine_tuning/jobs/{job['id']}/{kind}", 100))
            except Refused as refused:
                self._miss(f"{kind} of {job['id']}", refused)
            else:
                _write(rows, "".join(f"{json.dumps(row)}\n" for row in found))
        # Last: a job that is there and has ended says that what was told of it is all there is.
        _write(path, json.dumps(job, indent=2))

    def _listed(self) -> dict[str, dict[str, Any]]:
        try:
            return {row["id"]: row for row in self._api.pages("/files", 10_000)}
        except Refused as refused:
            self._miss("the list of files", refused)
            return {}

    def _file(self, file_id: str, kind: str, known: dict[str, Any] | None) -> None:
        target = self._folder / "files" / f"{_safe(file_id)}.{'csv' if kind == _RESULTS else 'jsonl'}"
        if known:
            _write(target.with_suffix(".json"), json.dumps(known, indent=2))
        self.files += 1
        if target.exists():
            return
        name = f"{file_id} ({known['filename']})" if known and known.get("filename") else file_id
        self._tell(name)
        draft = target.with_name(f".{target.name}.part")
        try:
            self._api.download(f"/files/{file_id}/content", draft)
            if kind == _RESULTS:
                draft.write_bytes(_table(draft.read_bytes()))
            os.replace(draft, target)
            self.downloaded += 1
        except Refused as refused:
            self._miss(name, refused)
        finally:
            draft.unlink(missing_ok=True)

    def _miss(self, what: str, refused: Refused) -> None:
        if refused.http_status not in _GONE:
            raise refused
        self.missing.append(f"{what}: {refused}")


def _safe(name: Any) -> str:
    """An id that is a file's name and no path. Raises Stop."""
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise Stop(f"The API has an id that no file can be called: {str(name)[:80]!r}.", "Check its address.")
    return name


def _status(path: Path) -> str | None:
    try:
        found: str | None = json.loads(path.read_text(encoding="utf-8")).get("status")
        return found
    except (ValueError, AttributeError):
        return None


def _table(content: bytes) -> bytes:
    """The table of a result file, which OpenAI wraps in base64."""
    try:
        plain = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        return content
    return plain if plain.startswith(b"step") else content


def _write(path: Path, content: str) -> None:
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(content, encoding="utf-8")
    os.replace(draft, path)
