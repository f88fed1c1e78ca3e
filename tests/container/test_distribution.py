"""Several processes as one run, on this machine: two on its CPU over gloo."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.container.conftest import MakeRoot
from tests.container.programs import run
from tests.container.rows_of_methods import supervised
from tests.container.test_training import card, metrics, weights_sha256
from trainer import checkpoints, distribution
from trainer.folders import Folders

QUIET = {"generate": False}


def plan_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, current: str, hosts: list[str], gpus: str
) -> distribution.Plan:
    config = tmp_path / "input" / "config"
    config.mkdir(parents=True)
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": current, "hosts": hosts}))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpus)
    return distribution.plan(Folders(tmp_path))


def test_one_host_without_gpus_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan_of(tmp_path, monkeypatch, "algo-1", ["algo-1"], "").is_alone


def test_each_gpu_of_a_host_gets_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path, monkeypatch, "algo-1", ["algo-1"], "0,1,2,3")
    assert plan.torchrun == ["--nnodes=1", "--nproc-per-node=4", "--max-restarts=0", "--standalone"]


def test_the_first_host_of_several_is_where_all_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(tmp_path, monkeypatch, "algo-2", ["algo-1", "algo-2"], "0,1")
    assert plan.torchrun[:2] == ["--nnodes=2", "--nproc-per-node=2"]
    assert plan.torchrun[3:] == ["--node-rank=1", "--master-addr=algo-1", "--master-port=29500"]


def start_two(root: Path, *command: str) -> subprocess.Popen[str]:
    environment = os.environ | {distribution.PROCESSES_VARIABLE: "2", "OMP_NUM_THREADS": "1"}
    program = command or (sys.executable, "-m", "trainer.train")
    return subprocess.Popen(
        [*program, "--root", str(root)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_two_processes_train_as_one_does_at_the_same_batch_size(make_root: MakeRoot) -> None:
    changes = {"rows": supervised(), "validation": True, "hyperparameters": {"epochs": 2}, "evaluation": QUIET}
    alone, together = make_root(**changes), make_root(**changes)
    started = start_two(together)
    assert run("trainer.train", "--root", alone).exit_code == 0
    output, _ = started.communicate(timeout=300)
    assert started.returncode == 0, output[-3000:]
    assert list(metrics(together)) == list(metrics(alone))
    assert list(metrics(together).values()) == pytest.approx(list(metrics(alone).values()), rel=2e-3)
    validation = metrics(together, "validation_loss")
    assert list(validation.values()) == pytest.approx(list(metrics(alone, "validation_loss").values()), rel=2e-3)
    expected = {"rows": 4, "times": 1, "processes": 2, "per_step": 8}
    assert expected.items() <= card(together)["batches"].items()
    assert card(together)["trained_tokens"] == card(alone)["trained_tokens"]


def test_a_stop_reaches_every_process_and_the_run_goes_on_with_the_same_losses(make_root: MakeRoot) -> None:
    alone, root = [make_root(hyperparameters={"epochs": 10}, evaluation=QUIET) for _ in range(2)]
    started = start_two(root)
    file = root / "checkpoints" / "metrics.jsonl"
    end = time.monotonic() + 240
    # In the middle of a later epoch, whose order is not the first one's.
    while not file.exists() or len(file.read_text().splitlines()) < 7:
        assert time.monotonic() < end
        assert started.poll() is None
        time.sleep(0.01)
    started.send_signal(signal.SIGTERM)
    output, _ = started.communicate(timeout=120)
    assert started.returncode == 3, output[-3000:]
    assert json.loads((root / "output" / "failure").read_text())["code"] == "interrupted"
    assert checkpoints.newest(root / "checkpoints") is not None
    started = start_two(root)
    assert run("trainer.train", "--root", alone).exit_code == 0
    output, _ = started.communicate(timeout=120)
    assert started.returncode == 0, output[-3000:]
    assert list(metrics(root).values()) == pytest.approx(list(metrics(alone).values()), rel=1e-2)


def test_a_fault_in_the_workers_is_the_runs_own(make_root: MakeRoot) -> None:
    root = make_root(rows=['{"prompt": "2+2?", "completion": ""}'])
    started = start_two(root)
    started.communicate(timeout=240)
    assert started.returncode == 1
    assert json.loads((root / "output" / "failure").read_text())["code"] == "bad_dataset"


def test_weights_that_do_not_fit_are_shared_out(make_root: MakeRoot) -> None:
    """Full weights under FSDP, forced by a machine without room for them."""
    changes = {"adapter": "full", "learning_rate": 0.002, "lora_rank": None, "lora_alpha": None, "epochs": 2}
    alone = make_root(rows=supervised()[:32], hyperparameters=changes, evaluation=QUIET)
    shared = make_root(rows=supervised()[:32], hyperparameters=changes, evaluation=QUIET)
    worker = Path(__file__).parent / "cramped_worker.py"
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(worker))
    started = start_two(shared, *torchrun)
    assert run("trainer.train", "--root", alone).exit_code == 0
    output, _ = started.communicate(timeout=300)
    assert started.returncode == 0, output[-3000:]
    assert "weights shared out" in output
    assert list(metrics(shared).values()) == pytest.approx(list(metrics(alone).values()), rel=2e-2)
    assert card(shared)["serving"] == {"kind": "model", "path": "."}
    assert {path.name for path in (shared / "model").glob("*.safetensors")} == {"model.safetensors"}


def hosts_of(make_root: MakeRoot, **changes: Any) -> list[Path]:
    """The roots of two hosts with disks of their own, which are two names of this machine."""
    hosts, roots = ["localhost", "127.0.0.1"], []
    for host in hosts:
        root = make_root(**changes)
        (root / "input" / "config").mkdir(parents=True)
        resources = {"current_host": host, "hosts": hosts}
        (root / "input" / "config" / "resourceconfig.json").write_text(json.dumps(resources))
        roots.append(root)
    return roots


def run_on(roots: list[Path]) -> list[str]:
    """What each host has written."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = (sys.executable, "-m", "trainer.train", "--root")
    started = [
        subprocess.Popen([*command, root], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for root in roots
    ]
    outputs = [program.communicate(timeout=300)[0] for program in started]
    assert [program.returncode for program in started] == [0, 0], outputs[0][-2000:] + outputs[1][-2000:]
    return outputs


def test_hosts_with_disks_of_their_own_act_as_one(make_root: MakeRoot) -> None:
    asked = {"epochs": 30, "learning_rate": 0.02, "early_stopping_patience": 1, "batch_size": 4}
    roots = hosts_of(make_root, rows=supervised()[:8], validation=True, hyperparameters=asked, evaluation=QUIET)
    first, other = [root / "checkpoints" for root in roots]
    outputs = run_on(roots)
    content = card(roots[0])
    assert content["ended"] == "early_stopped"
    best = min(metrics(roots[0], "validation_loss").values())
    assert content["metrics"]["validation_loss"] == pytest.approx(best)
    assert content["evaluation"]["tuned"]["loss"] == pytest.approx(best, rel=1e-3)
    assert "".join(outputs).count('"no improvement any more"') == 1
    assert {path.name for path in other.glob("checkpoint-*")} <= {path.name for path in first.glob("checkpoint-*")}

    shutil.rmtree(roots[0] / "model")
    run_on(roots)
    again = card(roots[0])
    for name in ("metrics", "steps", "ended"):
        assert again[name] == content[name]
    assert weights_sha256(again) == weights_sha256(content)
    newest = checkpoints.newest(first)
    assert newest is not None
    assert {path.name for path in newest.iterdir()} <= {path.name for path in (other / newest.name).iterdir()}
