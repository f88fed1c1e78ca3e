"""What a file of a model is for."""

import pytest

from luthier.models import files


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("pytorch_model.bin", "model_weights"), ("adapter_model.safetensors", "model_weights"),
        ("exports/gguf-q8_0/model.gguf", "model_weights"), ("model.onnx", "model_weights"),
        ("model.trt", "model_weights"), ("config.json", "configuration"), ("adapter_config.json", "configuration"),
        ("profiling_data.json", "configuration"),
        ("tokenizer.json", "tokenizer"), ("tokenizer_config.json", "tokenizer"), ("tokenizer.model", "tokenizer"),
        ("vocab.json", "tokenizer"), ("merges.txt", "tokenizer"), ("special_tokens_map.json", "tokenizer"),
        ("chat_template.jinja", "tokenizer"), ("README.md", "other"),
    ],
)  # fmt: skip
def test_a_file_is_told_by_its_name(path: str, kind: str) -> None:
    (shown,) = files.described([{"path": path, "size": 1, "sha256": "ab"}])
    assert shown == {"name": path, "size": 1, "type": kind, "checksum": "sha256:ab"}
