"""What somebody has sent: a folder in which only files of known names are looked at, and none is ever run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer import failures, log, templates
from trainer.failures import Failure

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
# A tokenizer's settings may hold long templates; a file beyond that is something else.
MOST_JSON_BYTES = 32 << 20
_NAMES_SHOWN = 8
_CONVERT_ADAPTER = (
    "Where you trust the file, load it with PEFT and save it again (save_pretrained writes safetensors); pickle files "
    "are never loaded here."
)
_CONVERT_MODEL = (
    "Where you trust the files, load them with transformers and save them again (save_pretrained writes safetensors); "
    "pickle files are never loaded here."
)


@dataclass(frozen=True)
class Sent:
    """A folder that holds an adapter, or else merged weights."""

    folder: Path
    is_adapter: bool

    @property
    def has_tokenizer(self) -> bool:
        return (self.folder / "tokenizer_config.json").is_file()

    def tokenizer(self) -> Any:
        """Raises Failure(bad_import)."""
        if "auto_map" in read_json(self.folder / "tokenizer_config.json"):
            raise needs_code("tokenizer_config.json")
        try:
            return templates.load_tokenizer(self.folder)
        except Exception as error:
            # What is wrong in such files breaks the libraries anywhere.
            if failures.classify(error).code not in ("internal", "bad_base_model"):
                raise
            reason = " ".join(str(error).split()).removeprefix("The base model's tokenizer cannot be loaded: ")
            raise Failure("bad_import", f"The tokenizer that came along cannot be loaded: {reason[:300]}") from error


def look(folder: Path) -> Sent:
    """Which of the two it is. Raises Failure(no_safetensors) for pickles, Failure(bad_import) for anything else."""
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    is_adapter = ADAPTER_CONFIG in found
    pickles = [name for name in found if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    wanted = [ADAPTER_WEIGHTS] if is_adapter else [WEIGHTS, INDEX]
    if not any(name in found for name in wanted):
        if pickles and (is_adapter or CONFIG in found):
            hint = _CONVERT_ADAPTER if is_adapter else _CONVERT_MODEL
            raise Failure("no_safetensors", f"The weights are in a pickle file, {pickles[0]:.80}.", hint)
        raise Failure("bad_import", _nothing(wanted, found))
    if not is_adapter and CONFIG not in found:
        raise Failure("bad_import", f"The weights come without their {CONFIG}.")
    return Sent(folder, is_adapter)


def _nothing(wanted: list[str], found: list[str]) -> str:
    shown = ", ".join(name[:80] for name in found[:_NAMES_SHOWN]) or "nothing"
    more = f" and {len(found) - _NAMES_SHOWN} more" if len(found) > _NAMES_SHOWN else ""
    return f"There is no {' or '.join(wanted)} at the top of the folder; it holds {shown}{more}."


def tell_left_out(sent: Sent, taken: list[str]) -> None:
    """Say which files mean nothing here."""
    if extras := sorted({path.name for path in sent.folder.iterdir()} - set(taken)):
        log.info("files that mean nothing here are left out", files=extras[:_NAMES_SHOWN], count=len(extras))


def read_json(path: Path) -> dict[str, Any]:
    """Raises Failure(bad_import) where it is no JSON object."""
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise Failure("bad_import", f"{path.name} has {path.stat().st_size} bytes; at most {MOST_JSON_BYTES} do.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Failure("bad_import", f"{path.name} cannot be read: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(content, dict):
        raise Failure("bad_import", f"{path.name} is not a JSON object.")
    return content


def needs_code(name: str) -> Failure:
    """For a file that names Python of its own, which nobody here runs."""
    return Failure(
        "unservable",
        f"{name} has an auto_map: the model needs code of its own, and none is run here.",
        "Import a model whose architecture transformers has itself.",
    )
