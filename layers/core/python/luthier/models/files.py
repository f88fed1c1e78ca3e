"""The files of a model, as people ask for them: by what they are for, with a checksum. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".onnx", ".trt", ".engine")
_TOKENIZER = ("tokenizer", "vocab", "merges", "special_tokens", "added_tokens", "chat_template", "spiece")


def described(files: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """`{name, size, type, checksum}` of `{path, size, sha256}`."""
    for file in files:
        checksum = f"sha256:{file['sha256']}"
        yield {"name": file["path"], "size": file["size"], "type": kind(file["path"]), "checksum": checksum}


def kind(path: str) -> str:
    """model_weights, tokenizer, configuration or other."""
    name = path.rpartition("/")[2].lower()
    if name.startswith(_TOKENIZER):
        return "tokenizer"
    if name.endswith(_WEIGHTS):
        return "model_weights"
    return "configuration" if name.endswith((".json", ".yaml", ".yml")) else "other"
