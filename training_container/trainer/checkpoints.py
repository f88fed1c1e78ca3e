"""Which checkpoint to continue from. A marker written last tells a complete one from one that was cut off.

The marker lists every file with its size and checksum, because the copies in S3 arrive one by one and in any order, and
says which run the checkpoint belongs to.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer import files, log
from trainer.failures import Failure

MARKER = "complete.json"


def mark_complete(checkpoint: Path, run: Mapping[str, Any]) -> None:
    """`run`: what has to be the same for a run that goes on from here, by name."""
    listed = {
        path.relative_to(checkpoint).as_posix(): {"size": path.stat().st_size, "xxh3": files.xxh3(path)}
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and path.name != MARKER
    }
    files.write_json(checkpoint / MARKER, {"files": listed, "run": dict(run)})


def is_complete(checkpoint: Path) -> bool:
    """Whether every file is there in its size. Their content is looked at only before it is used."""
    try:
        marker = _marker(checkpoint)
        listed = marker["files"].items()
        known = isinstance(marker["run"], dict) and all(isinstance(file["xxh3"], str) for _, file in listed)
        return known and all((checkpoint / name).stat().st_size == file["size"] for name, file in listed)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False


def newest(folder: Path) -> Path | None:
    """The checkpoint of the highest step whose files are whole, or None."""
    for checkpoint in sorted(filter(is_complete, _all(folder)), key=step, reverse=True):
        damaged = [name for name, file in _marker(checkpoint)["files"].items() if _differs(checkpoint / name, file)]
        if not damaged:
            return checkpoint
        log.warning("a damaged checkpoint is passed over", checkpoint=checkpoint.name, files=damaged)
    return None


def check_run(checkpoint: Path, run: Mapping[str, Any]) -> None:
    """Raises Failure(other_run) naming what has changed since the checkpoint was saved."""
    saved = _marker(checkpoint)["run"]
    changed = [name for name, value in run.items() if name in saved and saved[name] != value]
    if changed:
        told = ", ".join(f"{name} ({_brief(saved[name])} → {_brief(run[name])})" for name in changed)
        raise Failure("other_run", f"{checkpoint.name} belongs to a run with other settings: {told}.")


def remove_incomplete(folder: Path) -> None:
    """Keeps a cut-off checkpoint from counting among those that rotation keeps."""
    for checkpoint in _all(folder):
        if not is_complete(checkpoint):
            shutil.rmtree(checkpoint)


def step(checkpoint: Path) -> int:
    """The optimizer step at which it was saved."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _marker(checkpoint: Path) -> Any:
    return json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))


def _differs(path: Path, file: Mapping[str, Any]) -> bool:
    return bool(files.xxh3(path) != file["xxh3"])


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 16 else f"{text[:12]}…"


def _all(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
