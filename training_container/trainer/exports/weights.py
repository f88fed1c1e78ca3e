"""The three exports that transformers or PEFT read: the adapter, merged safetensors, one PyTorch file."""

import shutil
from pathlib import Path
from typing import Any

from trainer.exports.probe import Reader, torch_logits
from trainer.exports.source import ADAPTER_CONFIG, Source
from trainer.failures import Failure

# A larger model becomes several files of at most this size and an index, so that they load and transfer in parallel.
MAX_SHARD = "5GB"
PYTORCH_FILE = "pytorch_model.bin"
TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "chat_template.jinja", "vocab.*", "merges.txt", "spiece.*")


def check_adapter(source: Source) -> None:
    """Raises Failure(export_unsupported) for full weights."""
    if not source.is_adapter:
        raise Failure(
            "export_unsupported",
            f"{source.folder} holds full weights, not an adapter ({ADAPTER_CONFIG} is missing).",
            "Export it as merged, pytorch, gguf-f16, gguf-q8_0 or onnx.",
        )


def write_adapter(source: Source, model: Any, folder: Path) -> None:
    """The adapter as it is, and its tokenizer; no checkpoints, cards or other exports that lie beside it."""
    for pattern in ("adapter_*", *TOKENIZER_FILES):
        for path in source.folder.glob(pattern):
            shutil.copy2(path, folder)


def read_adapter(source: Source, folder: Path) -> Reader:
    copy = Source(folder, source.weights_folder)
    return Reader("peft", copy.tokenizer, torch_logits(copy.load(source.computed_in)))


def write_merged(source: Source, model: Any, folder: Path) -> None:
    """A snapshot like the base's: safetensors in the base's type, config, tokenizer, template."""
    source.merge(model).save_pretrained(folder, max_shard_size=MAX_SHARD)
    source.tokenizer.save_pretrained(folder)


def read_merged(source: Source, folder: Path) -> Reader:
    merged = Source(folder, folder)
    return Reader("transformers", merged.tokenizer, torch_logits(merged.load(source.computed_in)))


def write_pytorch(source: Source, model: Any, folder: Path) -> None:
    """pytorch_model.bin, config and tokenizer. Weights that share memory are stored once, as torch.save does."""
    import torch

    merged = source.merge(model)
    torch.save(merged.state_dict(), folder / PYTORCH_FILE)
    merged.config.save_pretrained(folder)
    merged.generation_config.save_pretrained(folder)
    source.tokenizer.save_pretrained(folder)


def read_pytorch(source: Source, folder: Path) -> Reader:
    """An empty model of that configuration, filled from the file, in which nothing but tensors is accepted."""
    import torch
    from transformers import AutoModelForCausalLM

    copy = Source(folder, folder)
    model = AutoModelForCausalLM.from_config(copy.config, dtype=getattr(torch, copy.dtype))
    weights = torch.load(folder / PYTORCH_FILE, map_location="cpu", mmap=True, weights_only=True)
    model.load_state_dict(weights, assign=True)
    model.tie_weights()
    return Reader("torch.load", copy.tokenizer, torch_logits(model.to(getattr(torch, source.computed_in)).eval()))
