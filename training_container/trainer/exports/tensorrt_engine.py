"""A TensorRT engine, built from the ONNX graph by NVIDIA's Polygraphy. Not measured: it needs a GPU to run at all.

The image holds neither library; where they and a GPU are (pip install tensorrt polygraphy), this works as it stands.
An engine runs only on the kind of GPU and the version of TensorRT that built it: both are written into its config.
"""

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from trainer import files, log
from trainer.exports import onnx_graph
from trainer.exports.probe import Reader
from trainer.exports.source import Source
from trainer.failures import Failure

FILE = "model.trt"
PROFILE_FILE = "profiling_data.json"
MAX_BATCH = 8
MAX_SEQUENCE = 2_048
PROFILED_RUNS = 10


def check(source: Source) -> None:
    """Raises Failure(export_unsupported) naming what this machine lacks."""
    import torch

    lacking = [name for name in ("tensorrt", "polygraphy") if importlib.util.find_spec(name) is None]
    if not torch.cuda.is_available():
        lacking.append("an NVIDIA GPU")
    if lacking:
        raise Failure(
            "export_unsupported",
            f"A TensorRT engine cannot be built here: {', '.join(lacking)} missing.",
            "Export onnx, and convert it on the GPU that will serve: trtexec --onnx=model.onnx --saveEngine=model.trt",
        )


def write(source: Source, model: Any, folder: Path) -> None:
    from polygraphy.backend.trt import CreateConfig, EngineFromNetwork, NetworkFromOnnxPath, Profile, SaveEngine

    graph = folder / "onnx"
    graph.mkdir()
    onnx_graph.write(source, model, graph)
    shapes = _shapes(source.config.get_text_config().max_position_embeddings)
    profile = Profile()
    for name in ("input_ids", "attention_mask"):
        profile.add(name, **shapes)
    log.info("building the engine", **shapes)
    network = NetworkFromOnnxPath(str(graph / onnx_graph.FILE))
    SaveEngine(EngineFromNetwork(network, CreateConfig(profiles=[profile])), path=str(folder / FILE))()
    shutil.rmtree(graph)
    files.write_json(folder / "config.json", {"shapes": shapes, **_machine(), "precision": "float32 (TF32 allowed)"})
    files.write_json(folder / PROFILE_FILE, {**_machine(), "runs": _profile(folder, shapes)})


def _shapes(context: int) -> dict[str, tuple[int, int]]:
    """[batch, sequence], from the smallest to the largest that the engine takes; `opt` is what it is tuned for."""
    longest = min(MAX_SEQUENCE, context)
    return {"min": (1, 1), "opt": (1, min(256, longest)), "max": (MAX_BATCH, longest)}


def _machine() -> dict[str, str]:
    import tensorrt
    import torch

    return {"gpu": torch.cuda.get_device_name(), "tensorrt": tensorrt.__version__}


def _profile(folder: Path, shapes: dict[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """Seconds per forward pass, the median of several, at the shapes the engine was tuned for and limited to."""
    import statistics

    import numpy as np

    seconds = []
    with _runner(folder) as runner:
        for shape in (shapes["opt"], shapes["max"]):
            inputs = {name: np.ones(shape, dtype=np.int64) for name in ("input_ids", "attention_mask")}
            times = []
            for _ in range(PROFILED_RUNS):
                runner.infer(inputs)
                times.append(runner.last_inference_time())
            seconds.append({"batch": shape[0], "sequence": shape[1], "seconds": statistics.median(times)})
    return seconds


def _runner(folder: Path) -> Any:
    from polygraphy.backend.common import BytesFromPath
    from polygraphy.backend.trt import EngineFromBytes, TrtRunner

    return TrtRunner(EngineFromBytes(BytesFromPath(str(folder / FILE))))


def read(source: Source, folder: Path) -> Reader:
    """The engine holds no tokenizer; the source's is used."""
    import numpy as np

    def logits(ids: list[int]) -> Any:
        tokens = np.array([ids], dtype=np.int64)
        with _runner(folder) as runner:
            found = runner.infer({"input_ids": tokens, "attention_mask": np.ones_like(tokens)})
            return np.asarray(found["logits"])[0].astype(np.float32)

    return Reader("tensorrt", source.tokenizer, logits)
