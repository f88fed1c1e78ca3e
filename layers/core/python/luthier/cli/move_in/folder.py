"""What lies in a folder: one that `export` has made, or JSON and JSONL that somebody has saved by hand.

Jobs, files, events and checkpoints are told by their `object`, alone, in a list as the API answers it, or line by line,
whatever the file is called. Any other JSONL is a dataset: it is found by the id of the file as its name, else by the
file's own name where that leads to one alone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier.cli.stop import Stop

MOVED = "moved.json"
JOB, FILE = "fine_tuning.job", "file"
EVENT, CHECKPOINT = "fine_tuning.job.event", "fine_tuning.job.checkpoint"
_KINDS = (JOB, FILE, EVENT, CHECKPOINT)
_NEEDED = {JOB: ("id", "model", "training_file"), FILE: ("id",), CHECKPOINT: ("id", "fine_tuning_job_id")}


@dataclass
class Folder:
    """jobs, files: by id; checkpoints: the last one of each job; datasets: what may be the content of a file."""

    path: Path
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    checkpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    datasets: list[Path] = field(default_factory=list)

    @property
    def oldest_first(self) -> list[dict[str, Any]]:
        return sorted(self.jobs.values(), key=lambda job: (job.get("created_at") or 0, job["id"]))

    def name_of(self, file_id: str) -> str | None:
        """What a file was called, where the folder says so."""
        return self.files.get(file_id, {}).get("filename")

    def content_of(self, file_id: str) -> Path:
        """The dataset that a file's id means. Raises Stop where there is none, or nobody can tell which."""
        name, size = self.name_of(file_id), self.files.get(file_id, {}).get("bytes")
        called = f"{file_id} ({name})" if name else file_id
        if by_id := [path for path in self.datasets if file_id in (path.stem, path.name)]:
            return by_id[0]
        found = [path for path in self.datasets if path.name == name]
        namesakes = [one for one in self.files.values() if name and one.get("filename") == name]
        if len(found) > 1 or len(namesakes) > 1:
            found = [path for path in found if path.stat().st_size == size]
            if len(found) > 1 or (found and len([one for one in namesakes if one.get("bytes") == size]) > 1):
                message = f"Several files are called {name}, and nothing tells which of them is {file_id}."
                raise Stop(message, f"Name the right one {file_id}.jsonl.")
        if not found:
            raise Stop(f"The content of {called} is not in the folder.", f"Put it there as {file_id}.jsonl.")
        return found[0]


def read(path: Path) -> Folder:
    """Raises Stop naming file and line of what cannot be read."""
    if not path.is_dir():
        raise Stop(f"There is no folder {path}.", f"Make it with: luthier move-in export --to {path}")
    folder = Folder(path)
    for file in sorted(path.rglob("*.json*")):
        if file.name == MOVED or any(part.startswith(".") for part in file.relative_to(path).parts):
            continue
        if file.suffix == ".json":
            for number, entity in _entities(_parsed(file)):
                _take(folder, file, f"entry {number}", entity)
        elif file.suffix == ".jsonl":
            _take_lines(folder, file)
    if not folder.jobs:
        message = f"{path} holds no fine-tuning job: none of its JSON has the object {JOB}."
        raise Stop(message, "Save the answer of GET /v1/fine_tuning/jobs there, or use luthier move-in export.")
    return folder


def _take_lines(folder: Folder, file: Path) -> None:
    """A dataset is not read here: its lines are judged when it is known what they are for."""
    with file.open(encoding="utf-8", errors="replace") as lines:
        if not _begins_with_an_entity(next((line for line in lines if line.strip()), "")):
            folder.datasets.append(file)
            return
        lines.seek(0)
        for number, line in enumerate(lines, start=1):
            if line.strip():
                for _, entity in _entities(_decoded(line, file, number)):
                    _take(folder, file, f"line {number}", entity)


def _begins_with_an_entity(line: str) -> bool:
    try:
        return any(_entities(json.loads(line)))
    except (ValueError, RecursionError):
        return False


def _take(folder: Folder, file: Path, place: str, entity: dict[str, Any]) -> None:
    kind = entity["object"]
    for name in _NEEDED.get(kind, ()):
        if not isinstance(entity.get(name), str):
            raise Stop(f"{file}, {place}: the {kind} has no {name}.", "Save it again as the API answers it.")
    if kind == JOB:
        folder.jobs[entity["id"]] = entity
    elif kind == FILE:
        folder.files[entity["id"]] = entity
    elif kind == CHECKPOINT:
        job_id = entity["fine_tuning_job_id"]
        last = folder.checkpoints.setdefault(job_id, entity)
        if _step(entity) > _step(last):
            folder.checkpoints[job_id] = entity


def _step(checkpoint: dict[str, Any]) -> int:
    step = checkpoint.get("step_number")
    return step if isinstance(step, int) else -1


def _entities(content: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every object of OpenAI's in a document, and its place among them."""
    if isinstance(content, dict) and isinstance(content.get("data"), list) and content.get("object") == "list":
        content = content["data"]
    rows = content if isinstance(content, list) else [content]
    for number, row in enumerate(rows, start=1):
        if isinstance(row, dict) and row.get("object") in _KINDS:
            yield number, row


def _parsed(file: Path) -> Any:
    return _decoded(file.read_text(encoding="utf-8", errors="replace"), file, 1)


def _decoded(text: str, file: Path, line: int) -> Any:
    """line: where the text begins in the file."""
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except (json.JSONDecodeError, RecursionError) as error:
        at = line + error.lineno - 1 if isinstance(error, json.JSONDecodeError) else line
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "It is nested too deeply"
        raise Stop(f"{file}, line {at}: {reason}.", "Mend it or save it again: it is no JSON.") from None
