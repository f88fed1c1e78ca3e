"""The ONNX graph in ONNX Runtime, and TensorRT where there is none."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.container.exported import snapshot
from trainer.exports import export
from trainer.exports.source import Source
from trainer.failures import Failure


@pytest.fixture(scope="module")
def graph(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """Source folder, exported folder and row of a two-layer model."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("onnx")
    model = snapshot(folder / "model", AutoTokenizer.from_pretrained(tiny), "llama")
    return model, folder / "onnx", export("onnx", model, model, folder / "onnx")


def test_the_graph_answers_like_its_source(graph: tuple[Path, Path, dict[str, Any]]) -> None:
    _, folder, row = graph
    assert row["proof"]["reader"] == "onnxruntime"
    assert row["proof"]["max_difference"] < 1e-4
    assert {"model.onnx", "config.json", "tokenizer.json"} <= {path.name for path in folder.iterdir()}


def test_batch_and_length_are_free_and_padding_is_masked(graph: tuple[Path, Path, dict[str, Any]]) -> None:
    import onnxruntime
    import torch

    model, folder, _ = graph
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    source = Source(model, model).load("float32")
    for shape in ((1, 1), (3, 17), (2, 40)):
        ids = torch.randint(0, 1_000, shape, generator=torch.Generator().manual_seed(1))
        mask = torch.ones_like(ids)
        mask[0, : shape[1] // 4] = 0
        (found,) = session.run(["logits"], {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        with torch.no_grad():
            expected = source(input_ids=ids, attention_mask=mask).logits.numpy()
        assert np.abs(found - expected)[mask.numpy() == 1].max() < 1e-3


@pytest.mark.skipif(importlib.util.find_spec("tensorrt") is not None, reason="TensorRT is here")
def test_tensorrt_is_refused_where_it_cannot_run(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="tensorrt") as raised:
        export("tensorrt", tiny, tiny, tmp_path / "trt")
    assert raised.value.code == "export_unsupported"
    assert "onnx" in raised.value.hint
    assert list(tmp_path.iterdir()) == []
