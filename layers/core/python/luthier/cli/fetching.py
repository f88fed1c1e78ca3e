"""Fetching a file of a model: whole or not at all."""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.cli.stop import UNREACHABLE, Stop

if TYPE_CHECKING:
    from luthier.client.api.training_models import DownloadFile

_TIMEOUT_SECONDS = 60.0
_CHUNK_BYTES = 1 << 20


def fetch(row: "DownloadFile", folder: Path) -> None:
    """Raises Stop where the content is not what the checksum says; a file has its name only when it is whole."""
    import httpx

    from luthier.cli.files import bar

    target = folder / row.name
    if not target.resolve().is_relative_to(folder.resolve()):
        raise Stop(f"The platform names a file outside the folder: {row.name}", "Report it; nothing was written.")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    try:
        with (
            tempfile.NamedTemporaryFile(dir=target.parent, prefix=".fetching-") as draft,
            httpx.stream("GET", str(row.url), timeout=_TIMEOUT_SECONDS) as response,
            bar() as progress,
        ):
            response.raise_for_status()
            task = progress.add_task(row.name, total=row.size)
            for chunk in response.iter_bytes(_CHUNK_BYTES):
                digest.update(chunk)
                draft.write(chunk)
                progress.advance(task, len(chunk))
            draft.flush()
            if row.checksum != f"sha256:{digest.hexdigest()}":
                raise Stop(f"{row.name} arrived damaged: its checksum is another.", "Try again.", UNREACHABLE)
            with suppress(FileExistsError):  # another command was faster
                os.link(draft.name, target)
    except httpx.HTTPError as error:
        said = error or type(error).__name__
        remedy = "Try again: what is fetched already stays."
        raise Stop(f"{row.name} could not be fetched: {said}.", remedy, UNREACHABLE) from None


def is_whole(row: "DownloadFile", folder: Path) -> bool:
    """Whether the file is here already. Raises Stop where another one has its place."""
    path = folder / row.name
    if not path.exists():
        return False
    with path.open("rb") as content:
        if row.checksum == f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}":
            return True
    raise Stop(f"{path} is another file than the model's.", "Name another folder with --output, or move it away.")
