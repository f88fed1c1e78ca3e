"""Which files make a model that can be imported; the same that `trainer.adopt` looks for. Pure."""

import re
from collections.abc import Sequence

from luthier.imports import refusals
from luthier.imports.entity import File

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
# What save_pretrained of PEFT, transformers and their tokenizers writes beside weights.
_KNOWN = (
    *(ADAPTER_CONFIG, CONFIG, INDEX, "generation_config.json", "README.md"),
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "spiece.model", "chat_template.jinja", "chat_template.json"),
)
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")


def fits(name: str) -> bool:
    """Whether a file of this name may be part of a model."""
    return name.endswith(".safetensors") or name in _KNOWN


def check_upload(files: Sequence[File], param: str) -> None:
    """Raises InvalidRequest for the first file that is not taken, and for files that make no model."""
    names = [file.name for file in files]
    for number, name in enumerate(names):
        place = f"{param}[{number}].name"
        if not _PLAIN.fullmatch(name):
            raise refusals.no_plain_name(name, place)
        if name.endswith(_PICKLES):
            raise refusals.pickled(name, place)
        if not fits(name):
            raise refusals.unknown_file(name, _KNOWN, place)
        if name in names[:number]:
            raise refusals.twice(name, place)
    require_model(names, param)


def require_model(names: Sequence[str], param: str) -> str:
    """The name of the settings that say what it is. Raises InvalidRequest where the files make no model."""
    is_adapter = ADAPTER_CONFIG in names
    wanted = [ADAPTER_WEIGHTS] if is_adapter else [WEIGHTS, INDEX]
    if not any(name in names for name in wanted):
        pickles = [name for name in names if name.endswith(_PICKLES)]
        if pickles and (is_adapter or CONFIG in names):
            raise refusals.weights_pickled(pickles[0], param)
        raise refusals.no_model(wanted, names, param)
    if not is_adapter and CONFIG not in names:
        raise refusals.no_model([CONFIG], names, param)
    return ADAPTER_CONFIG if is_adapter else CONFIG
