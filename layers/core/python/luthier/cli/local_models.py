"""The model that is to be served: a folder, an archive, or a model of the platform that is fetched and kept."""

import hashlib
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from luthier.cli.runtime import home
from luthier.cli.stop import UNREACHABLE, Stop, status_of

if TYPE_CHECKING:
    from luthier.client import Luthier

SPEC = "tunedtensor.json"
ARCHIVE = ".tar.gz"
# Whole weights, and what a tokenizer needs, of which the one format has one file and the other the rest.
_WANTED = (
    ("huggingface", ("model.safetensors", "config.json", "tokenizer_config.json")),
    ("pytorch", ("tokenizer.json",)),
)
# In the folder of a model that was fetched whole: what it is called.
_MARK = ".luthier-model.json"


class Away(Stop):
    """The platform cannot be asked: it is not known, or does not answer."""


@dataclass(frozen=True)
class LocalModel:
    """base: the folder of the base model, where `folder` holds an adapter."""

    name: str
    folder: Path
    base: Path | None


def find(target: str, base: Path | None) -> LocalModel:
    """target: a folder, a .tar.gz, or the id or a name of a model of the platform. Raises Stop."""
    path = Path(target).expanduser()
    if path.is_dir():
        return _in_folder(path, path.resolve().name, base)
    if path.is_file():
        if not target.endswith(ARCHIVE):
            raise Stop(f"{path} is a file.", f"Name a folder, a {ARCHIVE} or the id of a model.")
        return _in_folder(_unpacked(path), path.name.removesuffix(ARCHIVE), base)
    if target.startswith(("/", ".", "~")) or target.endswith(ARCHIVE):
        raise Stop(f"There is no {target}.", f"Name a folder, a {ARCHIVE} or the id of a model.")
    return _in_folder(_of_platform(target), target, base)


def _in_folder(folder: Path, name: str, base: Path | None) -> LocalModel:
    if base and base.is_file() and base.name.endswith(ARCHIVE):
        base = _unpacked(base)
    settings = folder / "adapter_config.json"
    if settings.exists():
        if base is None:
            named = _named_base(settings)
            base = Path(named)
            if not named or not (base / "config.json").exists():
                message = f"{folder} holds an adapter of {named or 'a base model that it does not name'}."
                raise Stop(message, "Say with --base in which folder that model is.")
        _require_model(base)
        return LocalModel(name, folder, base)
    if base is not None:
        raise Stop(f"{folder} holds no adapter, so it needs no base model.", "Leave --base out.")
    _require_model(folder)
    return LocalModel(name, folder, None)


def _named_base(settings: Path) -> str:
    try:
        return str(json.loads(settings.read_text(encoding="utf-8")).get("base_model_name_or_path") or "")
    except (ValueError, AttributeError) as error:
        raise Stop(f"{settings} is no adapter's configuration: {error}", "Fetch the adapter again.") from None


def _require_model(folder: Path) -> None:
    if not (folder / "config.json").exists() or not any(folder.glob("*.safetensors")):
        message = f"{folder} holds no model: config.json and weights as safetensors are what one needs."
        raise Stop(message, "Name a folder that has them, as a download in the format huggingface does.")


def _unpacked(archive: Path) -> Path:
    """The archive's files in a folder of their own, which is kept; a folder that holds all of them is left out."""
    with archive.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    folder = _kept(f"archive-{digest[:16]}")
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpacking-") as draft:
            whole = Path(draft) / "content"
            try:
                with tarfile.open(archive, "r:gz") as packed:
                    packed.extractall(whole, filter="data")
            except (OSError, EOFError, tarfile.TarError) as error:
                raise Stop(f"{archive} cannot be unpacked: {error}", "Fetch it again.") from None
            os.replace(whole, folder)
    inside = list(folder.iterdir())
    return inside[0] if len(inside) == 1 and inside[0].is_dir() else folder


def _kept(name: str) -> Path:
    models = home() / "models"
    models.mkdir(parents=True, exist_ok=True)
    return models / re.sub(r"[^A-Za-z0-9._-]", "-", name)


def _of_platform(model_id: str) -> Path:
    """As the platform has it now; where it is away, as it was fetched last. Raises Stop."""
    try:
        return _fetched(model_id)
    except Away as away:
        kept = _fetched_before(model_id)
        if kept is None:
            raise
        typer.echo(f"{away}\nServing {model_id} as it was fetched before: {kept}", err=True)
        return kept


def _fetched_before(model_id: str) -> Path | None:
    """The folder of a model that was fetched whole under this name, the newest of several."""
    found = [
        mark.parent
        for mark in sorted((home() / "models").glob(f"*/{_MARK}"), key=lambda mark: mark.stat().st_mtime)
        if model_id in json.loads(mark.read_text(encoding="utf-8"))["names"]
    ]
    return found[-1] if found else None


def _fetched(model_id: str) -> Path:
    """A model of the platform, whole, with its behaviour spec; files that are here already are not fetched again."""
    from luthier.cli.fetching import fetch
    from luthier.cli.model_files import granted

    with _platform(model_id) as client:
        model = client.training.models.get(model_id)
        rows = [
            row
            for form, names in _WANTED
            for row in granted(client, model_id, format=form, files=list(names)).files
            if row.name in names
        ]
        content = hashlib.sha256("".join(row.checksum for row in rows).encode()).hexdigest()
        folder = _kept(f"{model.id}-{content[:12]}")
        folder.mkdir(exist_ok=True)
        for row in rows:
            if not (folder / row.name).exists():
                fetch(row, folder)
    spec = model.metadata.get("behavior_spec")
    if spec:
        (folder / SPEC).write_text(spec, encoding="utf-8")
    else:
        (folder / SPEC).unlink(missing_ok=True)
    (folder / _MARK).write_text(json.dumps({"names": [model_id, model.id, model.name]}), encoding="utf-8")
    return folder


@contextmanager
def _platform(model_id: str) -> Iterator["Luthier"]:
    """Raises Away where it is not known or does not answer."""
    from luthier.client import ConfigurationError, ConnectionFailed, Luthier

    try:
        with Luthier() as client:
            yield client
    except ConfigurationError as error:
        message = f"There is no folder {model_id}; to fetch the model of that name, its platform has to be known."
        remedy = "Set LUTHIER_BASE_URL and LUTHIER_API_KEY, or write them into ~/.luthier/config.toml."
        raise Away(message, remedy, status_of(error)) from None
    except ConnectionFailed as error:
        remedy = "Check LUTHIER_BASE_URL, and try again: what is fetched already stays."
        raise Away(f"The platform could not be reached: {error.message}", remedy, UNREACHABLE) from None
