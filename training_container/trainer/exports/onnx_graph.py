"""ONNX: one graph, input_ids and attention_mask [batch, sequence] to logits [batch, sequence, vocabulary].

Both axes are dynamic; there is no key-value cache, so a runtime that generates reads the whole text for every token.
float32 whatever the base's type: ONNX Runtime's CPU kernels have no bfloat16.
"""

import logging
from pathlib import Path
from typing import Any

from trainer import log
from trainer.exports.probe import Reader
from trainer.exports.source import Source

FILE = "model.onnx"
# A protobuf message ends at 2 GiB; weights beyond that go into a file beside it (model.onnx.data).
MAX_SINGLE_FILE = 1_800_000_000


def write(source: Source, model: Any, folder: Path) -> None:
    merged = source.merge(model).float()
    log.info("tracing", parameters=merged.num_parameters())
    program = _trace(merged)
    program.save(folder / FILE, external_data=4 * merged.num_parameters() > MAX_SINGLE_FILE)
    merged.config.save_pretrained(folder)
    source.tokenizer.save_pretrained(folder)


def _trace(model: Any) -> Any:
    import torch

    # It misses torchvision's operators, which no language model has.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    named = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    same = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    # Two tensors: the exporter tells inputs apart by identity, and would take one for the other.
    inputs = {name: torch.ones(2, 8, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        return torch.onnx.export(
            _logits_only(model),
            kwargs=inputs,
            dynamo=True,
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_shapes={"input_ids": named, "attention_mask": same},
            verbose=False,
        )


def _logits_only(model: Any) -> Any:
    import torch

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits

    return Logits().eval()


def read(source: Source, folder: Path) -> Reader:
    import numpy as np
    import onnxruntime

    # Warnings of the optimizer go to the C library's stderr, past the log.
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(folder / FILE, options, providers=["CPUExecutionProvider"])

    def logits(ids: list[int]) -> Any:
        tokens = np.array([ids], dtype=np.int64)
        (found,) = session.run(["logits"], {"input_ids": tokens, "attention_mask": np.ones_like(tokens)})
        return found[0]

    return Reader("onnxruntime", Source(folder, folder).tokenizer, logits)
