"""Which checkpoint to continue from. A marker written last tells a complete one from one that was cut off.

The marker lists every file with its size, because the copies in S3 arrive one by one and in any order.
"""

import json
import shutil
from pathlib import Path

from trainer import files

MARKER = "complete.json"


def mark_complete(checkpoint: Path) -> None:
    sizes = {
        path.relative_to(checkpoint).as_posix(): path.stat().st_size
        for path in checkpoint.rglob("*")
        if path.is_file() and path.name != MARKER
    }
    files.write_json(checkpoint / MARKER, {"files": sizes})


def is_complete(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))["files"]
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError):
        return False


def newest(folder: Path) -> Path | None:
    """The complete checkpoint of the highest step, or None."""
    return max(filter(is_complete, _all(folder)), key=step, default=None)


def remove_incomplete(folder: Path) -> None:
    """Keeps a cut-off checkpoint from counting among those that rotation keeps."""
    for checkpoint in _all(folder):
        if not is_complete(checkpoint):
            shutil.rmtree(checkpoint)


def step(checkpoint: Path) -> int:
    """The optimizer step at which it was saved."""
    return int(checkpoint.name.removeprefix("checkpoint-"))


def _all(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if path.name.removeprefix("checkpoint-").isdigit()]
