"""Small files that other programs read while this one runs: they see the old content or the new, never half."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


def write_json(path: Path, content: Any) -> None:
    """Replace `path` in one step. Raises OSError, for example when the disk is full."""
    # UTF-8 holds no half of a surrogate pair; its escape is JSON's own.
    text = json.dumps(content, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
    write_text(path, text + "\n")


def write_text(path: Path, content: str) -> None:
    """The same for any text."""
    with replacing(path) as file:
        file.write(content.encode())


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A draft to write to, which takes the place of `path` when the block ends without an exception."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("wb") as file:
            yield file
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def sha256(path: Path) -> str:
    """Hex digest of a file of any size."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def xxh3(path: Path) -> str:
    """Hex checksum (XXH3, 64 bits) against damage, ten times as fast as a cryptographic hash."""
    import xxhash

    checksum = xxhash.xxh3_64()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            checksum.update(chunk)
    return checksum.hexdigest()


def listing(folder: Path) -> list[dict[str, Any]]:
    """path (relative, with /), size in bytes and sha256 of every file below `folder`, in order of path."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [
        {"path": path.relative_to(folder).as_posix(), "size": path.stat().st_size, "sha256": sha256(path)}
        for path in paths
    ]
