"""Every kind, from an adapter and from full weights; and what happens when an export is wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.container.exported import adapter
from trainer import files
from trainer.exports import KINDS, export, probe, weights
from trainer.exports.source import Source
from trainer.failures import Failure

# ONNX takes half a minute and has a module of its own; TensorRT needs a GPU.
QUICK = ("adapter", "merged", "pytorch", "gguf-f16", "gguf-q8_0")
# What each may be off on this float32 model, well below what the base alone is off.
OFF = {"adapter": 0.0, "merged": 1e-4, "pytorch": 1e-4, "gguf-f16": 0.02, "gguf-q8_0": 0.4}

Export = Callable[[str], tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="session")
def lora(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapter(tiny, tmp_path_factory.mktemp("lora") / "model")


@pytest.fixture(scope="session")
def exported(tiny: Path, lora: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """The folder and the row of one kind of the LoRA adapter; made once."""
    folder, rows = tmp_path_factory.mktemp("exports"), {}

    def get(kind: str) -> tuple[Path, dict[str, Any]]:
        if kind not in rows:
            rows[kind] = export(kind, lora, tiny, folder / kind)
        return folder / kind, rows[kind]

    return get


@pytest.mark.parametrize("kind", QUICK)
def test_the_row_describes_what_is_in_the_folder(exported: Export, kind: str) -> None:
    folder, row = exported(kind)
    assert list(row) == ["kind", "files", "bytes", "seconds", "proof"]
    assert row["kind"] == kind
    assert row["files"] == files.listing(folder)
    assert row["bytes"] == sum(file["size"] for file in row["files"])
    assert json.loads(json.dumps(row)) == row


@pytest.mark.parametrize("kind", QUICK)
def test_the_proof_compares_tokens_template_probabilities_and_greedy_choices(exported: Export, kind: str) -> None:
    _, row = exported(kind)
    proof = row["proof"]
    assert proof["ok"]
    assert proof["tokens_equal"]
    assert proof["template_equal"]
    assert proof["questions"] == len(probe.QUESTIONS)
    assert proof["greedy_tokens"] == len(probe.QUESTIONS) * probe.ANSWER_TOKENS
    assert proof["tokens"] > 200
    assert proof["max_difference"] <= OFF[kind] <= proof["max_tolerance"]
    assert proof["mean_difference"] < proof["without_adapter"] / 5
    assert proof["notices_lost_adapter"], "the probe could not tell the base from the tuned model"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("adapter", {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json", "chat_template.jinja"}),
        ("merged", {"model.safetensors", "config.json", "tokenizer_config.json", "chat_template.jinja"}),
        ("pytorch", {"pytorch_model.bin", "config.json", "tokenizer.json"}),
        ("gguf-f16", {"model-f16.gguf"}),
        ("gguf-q8_0", {"model-q8_0.gguf"}),
    ],
)
def test_each_kind_has_the_files_its_readers_expect(exported: Export, kind: str, expected: set[str]) -> None:
    folder, _ = exported(kind)
    assert expected <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"use_rslora": True}], ids=["dora", "rslora"])
def test_other_adapters_are_merged_by_their_own_rule(tiny: Path, tmp_path: Path, settings: dict[str, bool]) -> None:
    folder = adapter(tiny, tmp_path / "model", **settings)
    proof = export("merged", folder, tiny, tmp_path / "merged")["proof"]
    assert proof["max_difference"] < 1e-4 < 0.1 < proof["without_adapter"]


def test_a_trained_adapter_is_merged(tuned: Path, tiny: Path, tmp_path: Path) -> None:
    proof = export("merged", tuned / "model", tiny, tmp_path / "merged")["proof"]
    assert proof["max_difference"] < 1e-3 < 0.5 < proof["without_adapter"]
    assert not (tmp_path / "merged" / "model_card.json").exists()


def test_full_weights_are_exported_without_a_base(exported: Export, tmp_path: Path) -> None:
    merged, _ = exported("merged")
    proof = export("gguf-f16", merged, tmp_path / "nothing", tmp_path / "gguf")["proof"]
    assert proof["ok"]
    assert proof["without_adapter"] is None


def test_full_weights_have_no_adapter_to_export(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="full weights") as raised:
        export("adapter", tiny, tiny, tmp_path / "adapter")
    assert raised.value.code == "export_unsupported"


def test_an_unknown_kind_is_refused_with_the_known_ones(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(Failure, match="gguf-q8_0") as raised:
        export("gguf", tiny, tiny, tmp_path / "gguf")
    assert raised.value.code == "bad_config"


def test_a_folder_without_a_model_is_refused(tiny: Path, lora: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Failure, match=r"config\.json") as raised:
        export("merged", lora, tmp_path / "empty", tmp_path / "merged")
    assert raised.value.code == "bad_base_model"


def test_a_quantized_base_is_refused(tiny: Path, lora: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    config = json.loads((tiny / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (base / "config.json").write_text(json.dumps(config))
    with pytest.raises(Failure, match="quantized") as raised:
        export("merged", lora, base, tmp_path / "merged")
    assert raised.value.code == "export_unsupported"


def test_weights_in_bfloat16_are_merged_in_float32_and_rounded_once(tiny: Path, lora: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    base = tmp_path / "base"
    source = Source(tiny, tiny)
    source.load("bfloat16").save_pretrained(base)
    export("merged", lora, base, tmp_path / "merged")
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    change = load_file(lora / "adapter_model.safetensors")
    name, scale = "model.layers.0.mlp.up_proj", 2
    before, after = (
        load_file(base / "model.safetensors")[f"{name}.weight"],
        change[f"base_model.model.{name}.lora_A.weight"],
    )
    exact = before.float() + scale * change[f"base_model.model.{name}.lora_B.weight"] @ after
    assert merged[f"{name}.weight"].dtype == torch.bfloat16
    assert torch.equal(merged[f"{name}.weight"], exact.to(torch.bfloat16))


def test_a_large_model_is_cut_into_shards_with_an_index(
    tiny: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "MAX_SHARD", "1MB")
    row = export("merged", lora, tiny, tmp_path / "merged")
    names = [file["path"] for file in row["files"]]
    assert "model.safetensors.index.json" in names
    assert len([name for name in names if name.endswith(".safetensors")]) > 2
    assert row["proof"]["ok"]


def test_an_adapter_that_got_lost_is_noticed_and_nothing_is_left(
    tiny: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "merge", lambda self, model: model.unload())
    with pytest.raises(Failure, match="does not answer like the model") as raised:
        export("merged", lora, tiny, tmp_path / "merged")
    assert raised.value.code == "export_failed"
    assert list(tmp_path.iterdir()) == []


def test_a_lost_adapter_that_does_less_than_the_tolerance_is_noticed_by_being_nearer_to_the_base(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weak = adapter(tiny, tmp_path / "model", strength=0.01)
    proof = export("gguf-q8_0", weak, tiny, tmp_path / "gguf")["proof"]
    assert proof["mean_difference"] < proof["without_adapter"] < proof["mean_tolerance"]
    monkeypatch.setattr(Source, "merge", lambda self, model: model.unload())
    with pytest.raises(Failure, match="like the base without the adapter"):
        export("gguf-q8_0", weak, tiny, tmp_path / "gguf")


def test_another_template_is_noticed(tiny: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(source: Source, folder: Path) -> probe.Reader:
        reader = weights.read_merged(source, folder)
        reader.tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
        return reader

    monkeypatch.setitem(
        KINDS, "merged", KINDS["merged"].__class__(weights.write_merged, read, KINDS["merged"].tolerance)
    )
    with pytest.raises(Failure, match="template_equal is false"):
        export("merged", lora, tiny, tmp_path / "merged")


def test_an_export_that_fails_leaves_the_earlier_one_and_one_that_succeeds_replaces_it(
    tiny: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    destination = tmp_path / "adapter"
    destination.mkdir()
    (destination / "earlier").touch()
    with monkeypatch.context() as patch:
        patch.setattr(files, "listing", lambda folder: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            export("adapter", lora, tiny, destination)
    assert [path.name for path in tmp_path.rglob("*")] == ["adapter", "earlier"]
    export("adapter", lora, tiny, destination)
    assert not (destination / "earlier").exists()


def test_numbers_that_are_none_are_never_close() -> None:
    import numpy as np

    ids, rows = [0, 1, 2], np.log(np.full((3, 4), 0.25, dtype=np.float32))
    asked = probe.Asked("", "", ids, 1, rows[[0, 1], [1, 2]], rows[1:2], None)

    class Tokenizer:
        chat_template = None

        def __call__(self, *_: Any, **__: Any) -> dict[str, list[int]]:
            return {"input_ids": [0, 1]}

        def apply_chat_template(self, *_: Any, **__: Any) -> str:
            return ""

    for value, ok in ((0.0, True), (float("nan"), False), (float("inf"), False)):
        logits = np.full((3, 4), 0.0, dtype=np.float32)
        logits[0, 1] = value
        with np.errstate(invalid="ignore"):
            reader = probe.Reader("", Tokenizer(), lambda _, logits=logits: logits)
            assert probe.compare([asked], reader, probe.Tolerance(0.1, 0.1, ""))["ok"] is ok


@pytest.mark.parametrize(("free", "computed_in", "mean"), [(10**12, "float32", 0.1), (0, "bfloat16", 0.3)])
def test_where_memory_is_short_it_computes_in_the_bases_type_and_says_so(
    tiny: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, computed_in: str, mean: float
) -> None:
    import psutil

    base = tmp_path / "base"
    Source(tiny, tiny).load("bfloat16").save_pretrained(base)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=free))
    proof = export("merged", lora, base, tmp_path / "merged")["proof"]
    assert proof["mean_tolerance"] == mean
    assert f"computed in {computed_in}" in proof["reason"]
    assert (proof["mean_difference"] < 0.015) is (computed_in == "float32")
