"""How often a run saves, and which checkpoint it goes on from."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.container.conftest import MakeRoot, job_config
from tests.container.programs import run, start
from tests.container.test_training import card, metrics
from trainer import callbacks, checkpoints, files, preparation
from trainer.config import JobConfig
from trainer.folders import Folders

CONSTANT = {"lr_scheduler": "constant"}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.02, 1.0),  # saving costs 2 % of the time
        (2.0, 100.0),
        (10.0, 300.0),  # but no more than five minutes of work are at risk,
        (60.0, 600.0),  # unless saving them would cost more than a tenth of the time
    ],
)
def test_the_interval_follows_from_what_a_checkpoint_costs(seconds: float, expected: float) -> None:
    assert callbacks.interval(seconds) == pytest.approx(expected)


@pytest.fixture
def cut(make_root: MakeRoot) -> Path:
    """A run that was stopped after a few steps."""
    root = make_root(hyperparameters=CONSTANT, evaluation={"generate": False})
    program = start("trainer.train", "--root", root)
    program.wait_for(lambda: (root / "checkpoints" / "metrics.jsonl").exists() and max(metrics(root), default=0) >= 4)
    program.terminate()
    assert program.exit_code == 3
    return root


def change(root: Path, **hyperparameters: Any) -> None:
    path = root / "input" / "data" / "config" / "job.json"
    job = json.loads(path.read_text())
    job["hyperparameters"] |= hyperparameters
    path.write_text(json.dumps(job))


def failure(root: Path) -> dict[str, str]:
    return json.loads((root / "output" / "failure").read_text())


def test_a_run_that_goes_on_takes_the_learning_rate_that_is_asked_of_it_now(cut: Path) -> None:
    change(cut, learning_rate=0.001)
    before = max(metrics(cut))
    assert run("trainer.train", "--root", cut).exit_code == 0
    rates = metrics(cut, "learning_rate")
    assert {round(rate, 6) for step, rate in rates.items() if step <= before} == {0.02}
    assert {round(rate, 6) for step, rate in rates.items() if step > before} == {0.001}
    assert card(cut)["hyperparameters"]["learning_rate"] == 0.001


@pytest.mark.parametrize(("name", "value"), [("lora_rank", 4), ("lora_alpha", 64), ("batch_size", 4)])
def test_a_checkpoint_of_a_run_with_other_settings_is_refused_by_name(cut: Path, name: str, value: int) -> None:
    change(cut, **{name: value})
    assert run("trainer.train", "--root", cut).exit_code == 1
    assert failure(cut)["code"] == "other_run"
    assert name in failure(cut)["message"]


@pytest.mark.parametrize(
    ("change", "is_another_run"),
    [
        ({"max_sequence_length": 128}, True),
        ({"lora_alpha": 64}, True),
        ({"lora_dropout": 0.1}, True),
        ({"lora_layers": 1}, True),
        ({"target_modules": ["q_proj"]}, True),
        ({"use_rslora": True}, True),
        ({"use_dora": True}, True),
        ({"adapter": "qlora"}, True),
        ({"beta": 0.3}, True),
        ({"epochs": 9}, False),
        ({"learning_rate": 0.5}, False),
        ({"lr_scheduler": "cosine"}, False),
        ({"warmup_steps": 3}, False),
        ({"weight_decay": 0.1}, False),
        ({"max_grad_norm": 2.0}, False),
        ({"early_stopping_patience": 2}, False),
        ({"max_truncated_share": 0.5}, False),
    ],
)
def test_a_run_is_another_one_where_its_weights_would_mean_something_else(
    tmp_path: Path, change: dict[str, Any], is_another_run: bool
) -> None:
    before, after = (identity_of(tmp_path, hyperparameters=asked) for asked in ({}, change))
    assert (before != after) is is_another_run


def test_a_run_that_started_from_another_adapter_is_another_one(tmp_path: Path) -> None:
    weights = Folders(tmp_path).adapter / "adapter_model.safetensors"
    weights.parent.mkdir(parents=True)
    found = [identity_of(tmp_path)]
    for content in (b"one", b"another"):
        weights.write_bytes(content)
        found.append(identity_of(tmp_path, start_from={"model": "earlier"}))
    assert found[0] != found[1] != found[2]


def identity_of(root: Path, **changes: Any) -> dict[str, Any]:
    config = JobConfig.model_validate(job_config(method="dpo", **changes))
    job: Any = SimpleNamespace(config=config, folders=Folders(root))
    parts: Any = SimpleNamespace(train=SimpleNamespace(sha256="same", rows=33))
    return preparation.identity(job, parts)


def test_a_checkpoint_of_other_rows_is_refused(cut: Path) -> None:
    rows = cut / "input" / "data" / "train" / "train.jsonl"
    rows.write_text("\n".join(rows.read_text().splitlines()[:20]))
    assert run("trainer.train", "--root", cut).exit_code == 1
    assert failure(cut)["code"] == "other_run"
    assert "training data" in failure(cut)["message"]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20] = bytes(byte ^ 0xFF for byte in content[middle : middle + 20])
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["adapter_model.safetensors", "optimizer.pt", "trainer_state.json", "rng_state.pth"])
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(cut: Path, name: str) -> None:
    folder = cut / "checkpoints"
    newest = checkpoints.newest(folder)
    assert newest is not None
    flip(newest / name)
    older = checkpoints.newest(folder)
    assert older is not None
    assert checkpoints.step(older) < checkpoints.step(newest)
    program = run("trainer.train", "--root", cut)
    assert program.exit_code == 0
    said = [line for line in program.lines if line["message"] == "a damaged checkpoint is passed over"]
    assert [line["files"] for line in said][:1] == [[name]]


@pytest.mark.parametrize("change", [{"run": None}, {"run": "mine"}, {"files": []}, {"files": {"weights": {"size": 4}}}])
def test_a_checkpoint_whose_marker_is_damaged_does_not_count(tmp_path: Path, change: dict[str, Any]) -> None:
    checkpoint = tmp_path / "checkpoint-5"
    checkpoint.mkdir()
    (checkpoint / "weights").write_bytes(b"1234")
    checkpoints.mark_complete(checkpoint, {})
    marker = json.loads((checkpoint / checkpoints.MARKER).read_text()) | change
    files.write_json(checkpoint / checkpoints.MARKER, {name: part for name, part in marker.items() if part is not None})
    assert checkpoints.newest(tmp_path) is None
