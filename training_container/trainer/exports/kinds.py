"""The table of kinds: what each needs, who writes it, who reads it back, how close it has to come."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.exports import gguf_model, onnx_graph, tensorrt_engine, weights
from trainer.exports.probe import Reader, Tolerance
from trainer.exports.source import Source

# Largest and mean difference that rounding the weights to a type causes, and computing in a half type: several times
# what models of 1 and 135 million parameters show, which are more sensitive than large ones.
ROUNDED = {"float32": (1e-3, 1e-4), "float16": (0.1, 0.02), "bfloat16": (0.5, 0.1)}
COMPUTED_IN_HALF = (3.0, 0.3)


def _any_model(source: Source) -> None:
    """For kinds that take every model."""


@dataclass(frozen=True)
class Kind:
    """`check` refuses before anything heavy; `write` fills a folder; `read` loads it again."""

    write: Callable[[Source, Any, Path], None]
    read: Callable[[Source, Path], Reader]
    tolerance: Callable[[Source], Tolerance]
    check: Callable[[Source], None] = _any_model


def _rounded(source: Source, dtype: str, reason: str) -> Tolerance:
    largest, mean = ROUNDED[dtype] if source.computed_in == "float32" else COMPUTED_IN_HALF
    return Tolerance(largest, mean, f"{reason}, both computed in {source.computed_in}")


def _same(source: Source) -> Tolerance:
    return Tolerance(*ROUNDED["float32"], f"the same weights read again, both computed in {source.computed_in}")


def _merged(source: Source) -> Tolerance:
    return _rounded(source, source.dtype, f"merged weights rounded to {source.dtype}")


def _f16(source: Source) -> Tolerance:
    coarser = "float16" if source.dtype == "float32" else source.dtype
    return _rounded(source, coarser, "weights rounded to float16")


def _q8_0(source: Source) -> Tolerance:
    return Tolerance(2.0, 0.2, "weights rounded to 8 bits, in blocks of 32 with a scale each")


def _graph(source: Source) -> Tolerance:
    return _rounded(source, source.dtype, f"weights rounded to {source.dtype}, a float32 graph in another runtime")


def _engine(source: Source) -> Tolerance:
    return Tolerance(*ROUNDED["bfloat16"], "an engine may choose TF32 and fuse what it computes")


KINDS = {
    "adapter": Kind(weights.write_adapter, weights.read_adapter, _same, weights.check_adapter),
    "merged": Kind(weights.write_merged, weights.read_merged, _merged),
    "pytorch": Kind(weights.write_pytorch, weights.read_pytorch, _merged),
    "gguf-f16": Kind(gguf_model.write_f16, gguf_model.read, _f16, gguf_model.check),
    "gguf-q8_0": Kind(gguf_model.write_q8_0, gguf_model.read, _q8_0, gguf_model.check),
    "onnx": Kind(onnx_graph.write, onnx_graph.read, _graph),
    "tensorrt": Kind(tensorrt_engine.write, tensorrt_engine.read, _engine, tensorrt_engine.check),
}
