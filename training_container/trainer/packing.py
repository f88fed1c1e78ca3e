"""Where the files of a package come from: the model folder's own exports, or new ones that were proven."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer import archives, exports, files, log, shards
from trainer.export import CARD
from trainer.failures import Failure

ADAPTER = "adapter"
# ONNX's own name for weights that one message, limited to 2 GiB, cannot hold: without it the graph is nothing.
COMPANIONS = {"model.onnx": "model.onnx.data"}


@dataclass
class Exports:
    """The exports of the finished model in `model`, made in `draft` where there are none.

    proofs: what proves each kind that was made or taken; nothing of an adapter, which is the model itself.
    """

    model: Path
    base: Path
    draft: Path
    proofs: dict[str, dict[str, Any]] = field(default_factory=dict)
    _folders: dict[str, Path] = field(default_factory=dict)

    def collect(self, kind: str, name: str) -> list[Path]:
        """A file of the format in a folder of its own under the draft, and what belongs to it.

        Raises Failure(export_unsupported) where this model has no such file.
        """
        source = self._folder(kind)
        target = self.draft / "files" / name
        target.parent.mkdir(exist_ok=True)
        _WRITERS.get(name, _take)(source, target)
        companion = source / COMPANIONS.get(name, "")
        if companion == source or not companion.exists():
            return [target]
        _take(source, target.with_name(companion.name))
        return [target, target.with_name(companion.name)]

    def _folder(self, kind: str) -> Path:
        if kind not in self._folders:
            self._folders[kind] = self._held(kind) or self._made(kind)
        return self._folders[kind]

    def _made(self, kind: str) -> Path:
        folder = self.draft / kind
        self.proofs[kind] = exports.export(kind, self.model, self.base, folder)["proof"]
        return folder

    def _held(self, kind: str) -> Path | None:
        """The folder of an export that came with the model, if it is whole; of an adapter the model's own."""
        card = _card(self.model)
        if kind == ADAPTER:
            listed = [file for file in card.get("files", []) if file["path"] in archives.ADAPTER_FILES]
            if len(listed) == len(archives.ADAPTER_FILES) and not _whole(self.model, listed):
                message = f"The adapter's files have not the checksums of {CARD}: they were changed or damaged."
                raise Failure("bad_adapter", message, "Restore the model's folder, or train again.")
            return self.model if listed else None
        row = next((row for row in card.get("exports", []) if row["kind"] == kind and "proof" in row), None)
        folder = self.model / "exports" / kind
        if row is None:
            return None
        if not _whole(folder, row["files"]):
            log.warning("an export that came with the model is damaged and made again", kind=kind)
            return None
        log.info("the model's own export is taken", kind=kind)
        self.proofs[kind] = row["proof"]
        return folder


def _card(folder: Path) -> dict[str, Any]:
    """Empty where there is none: a folder that was not written by a run."""
    try:
        return json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _whole(folder: Path, listed: list[dict[str, Any]]) -> bool:
    return all(
        (folder / file["path"]).is_file() and files.sha256(folder / file["path"]) == file["sha256"] for file in listed
    )


def _take(source: Path, target: Path) -> None:
    path = source / target.name
    if not path.is_file():
        message = f"This model has no {target.name}: its tokenizer is kept in other files."
        raise Failure("export_unsupported", message, "Name the other files of the format.")
    _place(path, target)


def _place(path: Path, target: Path) -> None:
    """What was made here moves; what the model folder holds is copied, and stays as it is."""
    if path.is_relative_to(target.parent.parent):
        path.rename(target)
    else:
        shutil.copyfile(path, target)


def _join(source: Path, target: Path) -> None:
    """Exports are kept in parts of five gigabytes; the format has one file."""
    parts = sorted(source.glob("*.safetensors"))
    if len(parts) == 1:
        return _place(parts[0], target)
    return shards.join(parts, target)


def _rename(source: Path, target: Path) -> None:
    (found,) = source.glob("*.gguf")
    _place(found, target)


def _with_template(source: Path, target: Path) -> None:
    """The tokenizer's settings with the chat template in them, since the format has no file of its own for it."""
    settings = json.loads((source / target.name).read_text(encoding="utf-8"))
    template = source / "chat_template.jinja"
    if template.exists():
        settings["chat_template"] = template.read_text(encoding="utf-8")
    files.write_json(target, settings)


_WRITERS = {"model.safetensors": _join, "model.gguf": _rename, "tokenizer_config.json": _with_template}
