"""The finished model folder: adapter, tokenizer, chat template and, last of all, the card that makes it a model."""

import hashlib
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainer import files

CARD = "model_card.json"
FORMAT_VERSION = 1
LIBRARIES = ("torch", "transformers", "peft", "trl")


def save(model: Any, tokenizer: Any, card: dict[str, Any], folder: Path) -> None:
    """Write everything to a draft beside `folder`, then move it in. Raises OSError on a full disk."""
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        # The vocabulary never changes; PEFT would ask the hub to find that out.
        model.save_pretrained(draft, save_embedding_layers=False)
        tokenizer.save_pretrained(draft)
        # PEFT's generated README describes nothing of this run.
        (draft / "README.md").unlink(missing_ok=True)
        files.write_json(draft / CARD, {**card, "files": files.listing(draft)})
        _move(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _move(draft: Path, folder: Path) -> None:
    # SageMaker mounts the folder, so it cannot be renamed over; the card is what makes its content count.
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD).unlink(missing_ok=True)
    for path in sorted(draft.iterdir(), key=lambda path: path.name == CARD):
        shutil.move(path, folder / path.name)


def template_sha256(tokenizer: Any) -> str | None:
    """Hex digest of the chat template: the same from training to serving."""
    template = tokenizer.chat_template
    return hashlib.sha256(template.encode()).hexdigest() if template else None


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
