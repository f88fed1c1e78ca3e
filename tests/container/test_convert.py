"""The program, as a person starts it and as a job."""

import json
import shutil
from pathlib import Path

import pytest

from tests.container.exported import adapter
from tests.container.programs import run
from trainer import failures, files


@pytest.fixture(scope="module")
def lora(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return adapter(tiny, tmp_path_factory.mktemp("lora") / "model")


@pytest.fixture
def root(tiny: Path, lora: Path, tmp_path: Path) -> Path:
    inputs = tmp_path / "root" / "input" / "data"
    inputs.mkdir(parents=True)
    (inputs / "model").symlink_to(lora)
    (inputs / "base").symlink_to(tiny)
    return tmp_path / "root"


def run_job(root: Path, formats: str, **limits: int) -> int:
    return run("tests.container.ordered", formats, "--root", root, **limits).exit_code


def failure(root: Path) -> dict[str, str]:
    return json.loads((root / "output" / "failure").read_text())


def test_a_person_names_folders_and_kinds(tiny: Path, lora: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    program = run(
        "trainer.convert", "--model", lora, "--base", tiny, "--to", "adapter", "--to", "gguf-q8_0", "--output", output
    )
    assert program.exit_code == 0
    rows = json.loads((output / "exports.json").read_text())
    assert [row["kind"] for row in rows] == ["adapter", "gguf-q8_0"]
    assert all(row["files"] == files.listing(output / row["kind"]) for row in rows)
    assert {"exporting", "export proven", "exported"} <= {line["message"] for line in program.lines}


def test_a_job_finds_its_order_in_the_environment(root: Path) -> None:
    assert run_job(root, " merged, merged") == 0
    (row,) = json.loads((root / "model" / "exports.json").read_text())
    assert row["proof"]["ok"]
    assert (root / "model" / "merged" / "model.safetensors").exists()


@pytest.mark.parametrize(("formats", "named"), [("", "CONVERT_FORMATS"), ("merged,exe", "exe")])
def test_a_wrong_order_is_the_users_fault(root: Path, formats: str, named: str) -> None:
    assert run_job(root, formats) == 1
    assert failure(root)["code"] == "bad_config"
    assert named in failure(root)["message"]
    assert not (root / "model").exists()


def test_a_kind_that_cannot_be_made_is_the_users_fault(root: Path) -> None:
    assert run_job(root, "tensorrt") == 1
    assert failure(root)["code"] == "export_unsupported"


def test_a_missing_base_is_ours(root: Path) -> None:
    (root / "input" / "data" / "base").unlink()
    assert run_job(root, "merged") == 2
    assert failure(root)["code"] == "bad_base_model"


@pytest.mark.parametrize(
    ("channel", "file", "code"),
    [("model", "adapter_model.safetensors", "bad_adapter"), ("base", "model.safetensors", "bad_base_model")],
)
def test_a_file_that_was_cut_off_is_said_to_be_one(root: Path, channel: str, file: str, code: str) -> None:
    link = root / "input" / "data" / channel
    shutil.copytree(link, root / "copy")
    link.unlink()
    (root / "copy").rename(link)
    with (link / file).open("r+b") as content:
        content.truncate(1_000)
    assert run_job(root, "merged") == failures.CODES[code][0]
    assert failure(root)["code"] == code


def test_an_output_that_cannot_be_written_is_named(tiny: Path, lora: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "output"
    program = run("trainer.convert", "--model", lora, "--base", tiny, "--to", "merged", "--output", output)
    assert program.exit_code == 1
    assert program.lines[-1]["code"] == "bad_config"
    assert str(output) in program.lines[-1]["message"]


@pytest.mark.parametrize("kind", ["merged", "pytorch", "gguf-f16"])
def test_a_full_disk_leaves_nothing_behind(root: Path, kind: str) -> None:
    assert run_job(root, kind, max_file_bytes=500_000) == 2
    assert failure(root)["code"] == "disk_full"
    assert list((root / "model").iterdir()) == []
