"""Archives whose bytes depend on nothing but their content, written in constant memory whatever the size.

No time, owner or folder of this machine gets in, so the same files make the same archive and the same sha256.
"""

import gzip
import shutil
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from trainer import files

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
# Where SageMaker's ArtifactUrl of an adapter leads, inside the model folder.
ADAPTER_ARCHIVE = "serving/adapter.tar.gz"
KINDS = ("zip", "tar.gz")
# Weights hardly compress: a higher level takes several times as long for a percent.
_LEVEL = 1
_CHUNK_BYTES = 1 << 20
_MODE = 0o644
# The earliest that ZIP can say.
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


def pack(kind: str, paths: Iterable[Path], archive: Path) -> None:
    """Write the files, in order of name and without their folders, to `archive`, which is replaced at the end.

    kind: "zip" (ZIP64 where it is needed) or "tar.gz". Raises OSError, for example when the disk is full.
    """
    write = {"zip": _zip, "tar.gz": _tar_gz}[kind]
    with files.replacing(archive) as file:
        write(sorted(paths, key=lambda path: path.name), file)


def pack_adapter(folder: Path) -> None:
    """What a server loads of an adapter's folder, as one archive inside it."""
    pack("tar.gz", [folder / name for name in ADAPTER_FILES], folder / ADAPTER_ARCHIVE)


def _zip(paths: list[Path], file: IO[bytes]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for path in paths:
            entry = zipfile.ZipInfo(path.name, _LONG_AGO)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _MODE << 16
            # An entry that is given as such has a level of its own, which has no public name before Python 3.13.
            entry._compresslevel = _LEVEL  # type: ignore[attr-defined]
            # Known in advance, it decides whether the entry needs ZIP64.
            entry.file_size = path.stat().st_size
            with path.open("rb") as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target, _CHUNK_BYTES)


def _tar_gz(paths: list[Path], file: IO[bytes]) -> None:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path in paths:
            entry = tarfile.TarInfo(path.name)
            entry.size, entry.mode = path.stat().st_size, _MODE
            with path.open("rb") as source:
                archive.addfile(entry, source)
