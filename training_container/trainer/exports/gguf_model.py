"""GGUF, llama.cpp's format: one file with weights, hyperparameters and tokenizer, for the Llama family.

Names come from the `gguf` package's own table. What differs from transformers' layout, and why, is llama.cpp's
converter (https://github.com/ggml-org/llama.cpp, convert_hf_to_gguf.py): `llama` rotates neighbouring rows of q and k,
transformers rows half a head apart; vectors stay float32; a scaled rotary embedding becomes a tensor of factors.
Weights are written one by one, so that only one is held twice.
"""

import errno
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer import log
from trainer.exports import gguf_tokenizer
from trainer.exports.probe import Reader, torch_logits
from trainer.exports.source import Source
from trainer.failures import Failure

# transformers' model_type: llama.cpp's architecture, and whether q and k are stored in its row order.
ARCHITECTURES = {
    "llama": ("llama", True),
    "mistral": ("llama", True),
    "qwen2": ("qwen2", False),
    "qwen3": ("qwen3", False),
}
# Rotary embeddings that are the plain one with other frequencies. Others also scale attention.
ROPE_TYPES = {"llama": ("default", "linear", "llama3"), "qwen2": ("default",), "qwen3": ("default",)}
ROPE_FACTORS = "rope_freqs.weight"


def check(source: Source) -> None:
    """Raises Failure(export_unsupported) for architectures, rotary embeddings and tokenizers that are not written."""
    config = source.config
    if config.model_type not in ARCHITECTURES:
        raise Failure(
            "export_unsupported",
            f"GGUF is written for {', '.join(ARCHITECTURES)}; this model is {config.model_type}.",
            "Export merged, and convert that with llama.cpp's convert_hf_to_gguf.py.",
        )
    rope, known = _rope_type(config), ROPE_TYPES[ARCHITECTURES[config.model_type][0]]
    if rope not in known:
        raise Failure(
            "export_unsupported",
            f"GGUF is written for {config.model_type} with rotary embeddings of type {', '.join(known)}; "
            f"this model has {rope}.",
            "Export merged, and convert that with llama.cpp's convert_hf_to_gguf.py.",
        )
    gguf_tokenizer.check(source.tokenizer)


def _rope_type(config: Any) -> str:
    return (config.rope_parameters or {}).get("rope_type", "default")


def write_f16(source: Source, model: Any, folder: Path) -> None:
    _write(source, model, folder / "model-f16.gguf", "F16")


def write_q8_0(source: Source, model: Any, folder: Path) -> None:
    _write(source, model, folder / "model-q8_0.gguf", "Q8_0")


def _write(source: Source, model: Any, path: Path, encoding: str) -> None:
    import gguf
    import numpy as np

    merged = source.merge(model)
    writer = gguf.GGUFWriter(path, ARCHITECTURES[merged.config.model_type][0])
    try:
        _add_hyperparameters(writer, merged.config)
        writer.add_file_type(gguf.LlamaFileType[f"MOSTLY_{encoding}"])
        gguf_tokenizer.add(writer, source.tokenizer, merged.config)
        plan = [(name, tensor, _kind(tensor, encoding)) for name, tensor in _tensors(merged)]
        for name, tensor, kind in plan:
            size = math.prod(gguf.quant_shape_to_byte_shape(tensor.shape, kind))
            writer.add_tensor_info(name, tuple(tensor.shape), np.dtype(np.float32), size, raw_dtype=kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        log.info("writing", file=path.name, tensors=len(plan))
        for name, tensor, kind in plan:
            _append(writer, gguf.quantize(_rows(name, tensor, merged.config), kind))
    finally:
        writer.close()


def _append(writer: Any, values: Any) -> None:
    try:
        writer.write_tensor_data(values)
    except OSError as error:
        # numpy says how many values it could write, not why no more.
        raise OSError(error.errno or errno.ENOSPC, str(error)) from error


def _add_hyperparameters(writer: Any, config: Any) -> None:
    import gguf

    heads = config.num_attention_heads
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(config.name_or_path.rstrip("/").rpartition("/")[2] or config.model_type)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)


def _tensors(model: Any) -> Iterator[tuple[str, Any]]:
    """llama.cpp's name and the tensor; the output head only where it is not the embedding again."""
    import gguf

    config = model.config
    architecture = next(
        found for found, name in gguf.MODEL_ARCH_NAMES.items() if name == ARCHITECTURES[config.model_type][0]
    )
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    for own, tensor in model.state_dict().items():
        if own == "lm_head.weight" and config.tie_word_embeddings:
            continue
        name = names.get_name(own, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise Failure("export_unsupported", f"GGUF has no place for the weight {own} of {config.model_type}.")
        yield name, tensor
    if _rope_type(config) != "default":
        yield ROPE_FACTORS, _rope_factors(model)


def _rope_factors(model: Any) -> Any:
    """By how much the model turns each pair of rows slower than the plain embedding would, [head size / 2]."""
    import torch

    scaled = model.model.rotary_emb.inv_freq
    plain = model.config.rope_parameters["rope_theta"] ** (
        -torch.arange(len(scaled), dtype=torch.float64) / len(scaled)
    )
    return (plain / scaled.double()).float()


def _kind(tensor: Any, encoding: str) -> Any:
    """Vectors stay float32; rows that do not divide into blocks become float16, as llama.cpp's converter has it."""
    import gguf

    if tensor.ndim < 2:
        return gguf.GGMLQuantizationType.F32
    wanted = gguf.GGMLQuantizationType[encoding]
    return wanted if tensor.shape[-1] % gguf.GGML_QUANT_SIZES[wanted][0] == 0 else gguf.GGMLQuantizationType.F16


def _rows(name: str, tensor: Any, config: Any) -> Any:
    """The values in float32, rows of q and k in llama.cpp's order."""
    values = tensor.detach().float().numpy()
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}.get(name.split(".")[-2])
    if not heads or not ARCHITECTURES[config.model_type][1]:
        return values
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def read(source: Source, folder: Path) -> Reader:
    """transformers' own GGUF loader. It passes over some of what the file says and llama.cpp heeds: told here.

    That is the size of Qwen 3's heads, Llama's biases (taken where they are) and the rotary factors (the speed of each
    pair of rows is divided by its own).
    """
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM

    (path,) = folder.glob("*.gguf")
    file = GGUFReader(path)
    stored = {tensor.name: tensor.data for tensor in file.tensors}
    architecture = file.fields["general.architecture"].contents()
    told: dict[str, Any] = {}
    if architecture == "qwen3":
        told = {"head_dim": file.fields["qwen3.attention.key_length"].contents()}
    if architecture == "llama":
        told = {"attention_bias": "blk.0.attn_q.bias" in stored, "mlp_bias": "blk.0.ffn_up.bias" in stored}
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=path.name, dtype=source.computed_in, **told).eval()
    if ROPE_FACTORS in stored:
        model.model.rotary_emb.inv_freq /= torch.from_numpy(stored[ROPE_FACTORS].copy())
    return Reader("transformers (GGUF)", gguf_tokenizer.read(path, file), torch_logits(model))
