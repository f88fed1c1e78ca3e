"""A run leaves an offline run of Weights & Biases, which its own library can read back, and never fails by it."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.container.conftest import MakeRoot, job_config
from tests.container.programs import run
from trainer import wandb_run
from trainer.config import JobConfig

WISH = {"project": "tickets", "name": "first", "entity": None, "tags": ["support"]}


def records(archive: Path, folder: Path) -> list[Any]:
    """What the run holds, read by the library that wrote it."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal import datastore

    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    [path] = folder.rglob("*.wandb")
    store = datastore.DataStore()
    store.open_for_scan(str(path))
    found = []
    while data := store.scan_data():
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        found.append(record)
    return found


def test_a_finished_run_leaves_what_it_measured(make_root: MakeRoot, tmp_path: Path) -> None:
    root = make_root(wandb=WISH, hyperparameters={"epochs": 1})
    assert run("trainer.train", "--root", root).exit_code == 0
    found = records(root / "checkpoints" / "wandb.tar.gz", tmp_path)
    [named] = [record.run for record in found if record.WhichOneof("record_type") == "run"]
    assert (named.project, named.display_name, named.run_id, list(named.tags)) == (
        "tickets", "first", "job-test", ["support"],
    )  # fmt: skip
    history = [
        {
            item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json)
            for item in record.history.item
        }
        for record in found
        if record.WhichOneof("record_type") == "history"
    ]
    lines = [json.loads(line) for line in (root / "checkpoints" / "metrics.jsonl").read_text().splitlines()]
    measured = {line["step"]: line["training_loss"] for line in lines if line["training_loss"] is not None}
    assert {row["_step"]: row["training_loss"] for row in history if "training_loss" in row} == measured
    assert len(measured) >= 4
    assert not list((root / "checkpoints").glob(".wandb-*"))


def test_a_run_that_names_none_leaves_none(tuned: Path) -> None:
    assert not (tuned / "checkpoints" / "wandb.tar.gz").exists()


def test_what_cannot_be_written_costs_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = JobConfig.model_validate(job_config(wandb=WISH))
    wandb_run.leave(config, tmp_path / "nothing.jsonl", tmp_path / "wandb.tar.gz")
    assert not list(tmp_path.iterdir())
