import json
import random
import shutil
from pathlib import Path

import pytest

from tests.container.conftest import MakeRoot
from tests.container.programs import Program, run, start
from tests.container.test_training import metrics
from trainer import checkpoints, files


def last_step(root: Path) -> int:
    return max(metrics(root), default=0) if (root / "checkpoints" / "metrics.jsonl").exists() else 0


def adapter_sha256(root: Path) -> str:
    return files.sha256(root / "model" / "adapter_model.safetensors")


def failure(root: Path) -> dict[str, str]:
    return json.loads((root / "output" / "failure").read_text())


@pytest.fixture(scope="module")
def uninterrupted(make_root: MakeRoot) -> Path:
    root = make_root()
    assert run("trainer.train", "--root", root).exit_code == 0
    return root


def running_until(root: Path, step: int) -> Program:
    program = start("trainer.train", "--root", root)
    program.wait_for(lambda: last_step(root) >= step)
    return program


def test_a_killed_run_continues_with_the_same_losses_and_ends_with_the_same_adapter(
    make_root: MakeRoot, uninterrupted: Path
) -> None:
    root = make_root()
    running_until(root, random.randint(3, 17)).kill()
    assert not (root / "model" / "model_card.json").exists()
    resumed = run("trainer.train", "--root", root)
    assert resumed.exit_code == 0
    assert any(line["message"] == "continuing from a checkpoint" for line in resumed.lines)
    assert metrics(root) == metrics(uninterrupted)
    assert adapter_sha256(root) == adapter_sha256(uninterrupted)


def test_sigterm_saves_exits_3_and_the_next_run_loses_no_step(make_root: MakeRoot, uninterrupted: Path) -> None:
    root = make_root()
    program = running_until(root, 4)
    program.terminate()
    assert program.exit_code == 3
    result = json.loads((root / "checkpoints" / "result.json").read_text())
    assert result["ended"] == "stopped"
    saved = checkpoints.newest(root / "checkpoints")
    assert saved is not None
    assert checkpoints.step(saved) == result["step"] == last_step(root)
    assert failure(root)["code"] == "interrupted"
    assert run("trainer.train", "--root", root).exit_code == 0
    assert not (root / "output" / "failure").exists()
    assert metrics(root) == metrics(uninterrupted)


def test_sigterm_before_training_began_exits_3_as_well(make_root: MakeRoot) -> None:
    root = make_root()
    program = start("trainer.train", "--root", root)
    program.wait_for(lambda: program.lines)
    program.terminate()
    assert program.exit_code == 3
    assert failure(root)["code"] == "interrupted"


def test_a_checkpoint_that_was_cut_off_is_ignored(make_root: MakeRoot, uninterrupted: Path) -> None:
    root = make_root()
    program = running_until(root, 12)
    program.terminate()
    assert program.exit_code == 3
    good = checkpoints.newest(root / "checkpoints")
    assert good is not None
    cut_off = root / "checkpoints" / "checkpoint-19"
    shutil.copytree(good, cut_off)
    with (cut_off / "optimizer.pt").open("r+b") as file:
        file.truncate(100)
    assert checkpoints.newest(root / "checkpoints") == good
    assert run("trainer.train", "--root", root).exit_code == 0
    assert metrics(root) == metrics(uninterrupted)


def test_a_run_killed_while_saving_the_model_only_saves_it_again(make_root: MakeRoot, uninterrupted: Path) -> None:
    root = make_root()
    shutil.copytree(uninterrupted / "checkpoints", root / "checkpoints")
    assert run("trainer.train", "--root", root).exit_code == 0
    assert adapter_sha256(root) == adapter_sha256(uninterrupted)
    assert metrics(root) == metrics(uninterrupted)


def test_a_checkpoint_without_its_marker_does_not_count(tmp_path: Path) -> None:
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "weights").write_bytes(b"1234")
    checkpoints.mark_complete(tmp_path / "checkpoint-5", {})
    assert checkpoints.newest(tmp_path) == tmp_path / "checkpoint-5"
    checkpoints.remove_incomplete(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]
