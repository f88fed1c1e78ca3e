"""A finished model in the formats of its page, as files and as archives."""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.container.programs import Program, run
from trainer import archives, exports, files, shards

PAGE = {
    "adapter": ["adapter_config.json", "adapter_model.safetensors"],
    "pytorch": ["config.json", "pytorch_model.bin", "tokenizer.json"],
    "huggingface": ["config.json", "model.safetensors", "pytorch_model.bin", "tokenizer_config.json"],
    "onnx": ["config.json", "model.onnx", "tokenizer.json"],
    "gguf": ["model.gguf"],
}


@pytest.fixture
def root(tiny: Path, tuned: Path, tmp_path: Path) -> Path:
    inputs = tmp_path / "root" / "input" / "data"
    inputs.mkdir(parents=True)
    (inputs / "model").symlink_to(tuned / "model")
    (inputs / "base").symlink_to(tiny)
    return tmp_path / "root"


def package(root: Path, form: str, *arguments: object) -> Program:
    return run("trainer.package", "--root", root, "--format", form, *arguments)


def packed(root: Path) -> dict[str, Any]:
    return json.loads((root / "model" / "package.json").read_text())


def failure(root: Path) -> dict[str, str]:
    return json.loads((root / "output" / "failure").read_text())


def rows(folder: Path) -> list[dict[str, Any]]:
    """What `package.json` should say of the files in a folder."""
    listed = [file for file in files.listing(folder) if file["path"] != "package.json"]
    return [{"name": file["path"], "size": file["size"], "sha256": file["sha256"]} for file in listed]


@pytest.mark.parametrize("form", PAGE)
def test_each_format_has_exactly_the_pages_files_and_is_proven(root: Path, form: str) -> None:
    assert package(root, form).exit_code == 0
    content = packed(root)
    assert [row["name"] for row in content["files"]] == PAGE[form]
    assert content["files"] == rows(root / "model")
    assert (content["format"], content["compression"], content["archive"]) == (form, "none", None)
    assert content["seconds"] >= 0
    # The adapter is the model itself: its checksums were compared with the card's.
    assert (content["proof"] is None) == (form == "adapter")
    assert all(proof["ok"] for proof in (content["proof"] or {}).values())
    assert sorted(path.name for path in root.iterdir()) == ["input", "model"]


def test_the_two_weight_files_of_hugging_face_hold_the_same_and_the_tokenizer_its_template(
    root: Path, tuned: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    assert package(root, "huggingface").exit_code == 0
    safe = load_file(root / "model" / "model.safetensors")
    legacy = torch.load(root / "model" / "pytorch_model.bin", weights_only=True)
    assert safe.keys() == legacy.keys() - {"lm_head.weight"}, "the tied head is the embedding again"
    assert all(torch.equal(weight, legacy[name]) for name, weight in safe.items())
    settings = json.loads((root / "model" / "tokenizer_config.json").read_text())
    assert settings["chat_template"] == (tuned / "model" / "chat_template.jinja").read_text()


def test_gguf_is_of_the_asked_precision(root: Path) -> None:
    assert package(root, "gguf", "--precision", "f16").exit_code == 0
    assert list(packed(root)["proof"]) == ["gguf-f16"]
    larger = packed(root)["files"][0]["size"]
    assert package(root, "gguf").exit_code == 0
    assert list(packed(root)["proof"]) == ["gguf-q8_0"]
    assert packed(root)["files"][0]["size"] < larger


def test_only_the_asked_files_are_made(root: Path) -> None:
    program = package(root, "huggingface", "--file", "config.json", "--file", "model.safetensors")
    assert program.exit_code == 0
    assert [row["name"] for row in packed(root)["files"]] == ["config.json", "model.safetensors"]
    assert [line["kind"] for line in program.lines if line["message"] == "exporting"] == ["merged"]


@pytest.mark.parametrize(
    ("form", "arguments", "message"),
    [
        (
            "pytorch",
            ["--file", "model.onnx"],
            "--file is 'model.onnx', which is unknown; known are pytorch_model.bin, config.json, tokenizer.json.",
        ),
        ("pytorch", ["--file", "../evil"], "--file is '../evil', which is unknown"),
        ("msgpack", [], "--format is 'msgpack', which is unknown; known are adapter, pytorch, "),
        ("adapter", ["--compression", "rar"], "--compression is 'rar', which is unknown; known are none, zip, tar.gz."),
        ("gguf", ["--precision", "q4"], "--precision is 'q4', which is unknown; known are q8_0, f16."),
        ("onnx", ["--precision", "f16"], "--precision is for the format gguf;"),
    ],
)
def test_a_wrong_order_is_named(root: Path, form: str, arguments: list[str], message: str) -> None:
    assert package(root, form, *arguments).exit_code == 1
    assert failure(root)["code"] == "bad_config"
    assert failure(root)["message"].startswith(message)
    assert not (root / "model").exists()


def test_tensorrt_without_a_gpu_says_what_is_missing(root: Path) -> None:
    assert package(root, "tensorrt").exit_code == 1
    assert failure(root)["code"] == "export_unsupported"
    assert "missing" in failure(root)["message"]
    assert "trtexec" in failure(root)["hint"]


@pytest.mark.parametrize("compression", ["zip", "tar.gz"])
def test_an_archive_reads_back_and_stands_alone(root: Path, tmp_path: Path, compression: str) -> None:
    assert package(root, "adapter", "--compression", compression).exit_code == 0
    content = packed(root)
    archive = root / "model" / f"model.{compression}"
    assert sorted(path.name for path in (root / "model").iterdir()) == sorted([archive.name, "package.json"])
    assert content["archive"] == {
        "name": archive.name,
        "size": archive.stat().st_size,
        "sha256": files.sha256(archive),
    }
    shutil.unpack_archive(archive, tmp_path / "read", filter="data" if compression == "tar.gz" else None)
    assert rows(tmp_path / "read") == content["files"]


def test_the_same_order_makes_the_same_archive(root: Path) -> None:
    made = []
    for _ in range(2):
        assert package(root, "adapter", "--compression", "zip").exit_code == 0
        made.append(packed(root)["archive"]["sha256"])
    assert made[0] == made[1]


LARGE = 400_000_000
MEASURED = """
import resource, sys
from pathlib import Path
from trainer import archives
kind, source, archive = sys.argv[1:]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
archives.pack(kind, [Path(source)], Path(archive))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("kind", archives.KINDS)
def test_a_large_file_is_packed_in_constant_memory(tmp_path: Path, kind: str) -> None:
    source, archive = tmp_path / "model.bin", tmp_path / f"model.{kind}"
    with source.open("wb") as file:
        file.write(b"begin")
        file.truncate(LARGE)
    command = [sys.executable, "-c", MEASURED, kind, str(source), str(archive)]
    grown = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown * 1024 < LARGE / 20, "kilobytes of memory beyond what the interpreter took before"
    if kind == "zip":
        with zipfile.ZipFile(archive) as read:
            assert read.testzip() is None
            assert [entry.file_size for entry in read.infolist()] == [LARGE]
    else:
        with tarfile.open(archive) as read:
            assert [member.size for member in read] == [LARGE]


def test_an_export_that_came_with_the_model_is_taken_while_it_is_whole(
    root: Path, tiny: Path, tuned: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tuned / "model", model)
    row = exports.export("gguf-q8_0", model, tiny, model / "exports" / "gguf-q8_0")
    card = json.loads((model / "model_card.json").read_text())
    (model / "model_card.json").write_text(json.dumps(card | {"exports": [row]}))
    channel = root / "input" / "data" / "model"
    channel.unlink()
    channel.symlink_to(model)
    program = package(root, "gguf")
    assert program.exit_code == 0
    assert "the model's own export is taken" in {line["message"] for line in program.lines}
    assert packed(root)["proof"] == {"gguf-q8_0": row["proof"]}
    assert packed(root)["files"][0]["sha256"] == row["files"][0]["sha256"]
    with next((model / "exports" / "gguf-q8_0").iterdir()).open("r+b") as file:
        file.write(b"damaged")
    program = package(root, "gguf")
    assert program.exit_code == 0
    assert "exported" in {line["message"] for line in program.lines}
    assert packed(root)["files"] == rows(root / "model")
    assert packed(root)["files"][0]["size"] == pytest.approx(row["files"][0]["size"], rel=0.01)


def test_an_adapter_that_is_not_the_cards_is_refused(root: Path, tuned: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tuned / "model", model)
    (model / "adapter_config.json").write_text("{}")
    channel = root / "input" / "data" / "model"
    channel.unlink()
    channel.symlink_to(model)
    assert package(root, "adapter").exit_code == 1
    assert failure(root)["code"] == "bad_adapter"


def test_full_weights_have_no_adapter_to_pack(root: Path, tiny: Path) -> None:
    channel = root / "input" / "data" / "model"
    channel.unlink()
    channel.symlink_to(tiny)
    assert package(root, "adapter").exit_code == 1
    assert failure(root)["code"] == "export_unsupported"


def test_a_full_disk_is_said_and_leaves_no_draft(root: Path) -> None:
    program = run("trainer.package", "--root", root, "--format", "pytorch", max_file_bytes=100_000)
    assert program.exit_code == 2
    assert failure(root)["code"] == "disk_full"
    assert not list(root.glob("package-*"))
    assert not list((root / "model").iterdir())


def test_parts_are_joined_to_the_same_tensors(tiny: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    AutoModelForCausalLM.from_pretrained(tiny).save_pretrained(tmp_path / "parts", max_shard_size="500KB")
    parts = sorted((tmp_path / "parts").glob("*.safetensors"))
    assert len(parts) > 2
    shards.join(parts, tmp_path / "model.safetensors")
    whole, expected = load_file(tmp_path / "model.safetensors"), load_file(tiny / "model.safetensors")
    assert whole.keys() == expected.keys()
    assert all(torch.equal(whole[name], weight) for name, weight in expected.items())


def test_weights_beside_an_onnx_graph_are_listed_with_it(
    root: Path, tuned: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer import package as program
    from trainer.exports import onnx_graph

    monkeypatch.setattr(onnx_graph, "MAX_SINGLE_FILE", 1)
    program.package(program.Order(root, "onnx", files=("model.onnx",)))
    assert [row["name"] for row in packed(root)["files"]] == ["model.onnx", "model.onnx.data"]
    assert packed(root)["files"] == rows(root / "model")
