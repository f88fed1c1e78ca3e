"""Puts a finished model folder in place all at once, so that an interrupted build leaves nothing to trip over."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def build(target: Path, write: Callable[[Path], None]) -> Path:
    """Have `write` fill a folder beside `target`, then rename it to `target`. A finished target stays as it is."""
    if (target / "config.json").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    draft.chmod(0o755)
    try:
        write(draft)
        if target.is_dir():
            target.rmdir()
        os.replace(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target
