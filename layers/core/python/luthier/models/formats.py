"""The formats in which a model is downloaded, and the files of each (training_models page, "Model Formats"). Pure."""

from typing import Any, Literal

from luthier.models.entity import Model

Format = Literal["adapter", "pytorch", "huggingface", "onnx", "tensorrt", "gguf"]
Compression = Literal["none", "zip", "tar.gz"]

ADAPTER, HUGGINGFACE, PYTORCH, TENSORRT = "adapter", "huggingface", "pytorch", "tensorrt"
NONE = "none"
FILES: dict[str, tuple[str, ...]] = {
    ADAPTER: ("adapter_config.json", "adapter_model.safetensors"),
    PYTORCH: ("pytorch_model.bin", "config.json", "tokenizer.json"),
    HUGGINGFACE: ("model.safetensors", "pytorch_model.bin", "config.json", "tokenizer_config.json"),
    "onnx": ("model.onnx", "config.json", "tokenizer.json"),
    TENSORRT: ("model.trt", "config.json", "profiling_data.json"),
    "gguf": ("model.gguf",),
}


def own(model: Model) -> str:
    """The format that a model is in as it is."""
    return ADAPTER if model.has_adapter else HUGGINGFACE


def exported(artifact_uri: str, card: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Format → `{uri, files, proof}` of what a run has exported beside its model, for kinds that are a format's files
    as they are.
    """
    place = f"{artifact_uri.rstrip('/')}/exports"
    return {
        row["kind"]: {
            "uri": f"{place}/{row['kind']}",
            "files": row["files"],
            "proof": {row["kind"]: row["proof"]},
        }
        for row in card.get("exports", [])
        if row["kind"] in FILES and "proof" in row
    }
