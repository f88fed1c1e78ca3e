"""The end of a run: the model is there before its exports are, and nothing goes beyond the caps."""

import json
from pathlib import Path

from tests.container.conftest import MakeRoot
from tests.container.programs import run, start
from tests.container.test_training import card

QUIET = {"generate": False}


def test_asked_exports_are_proven_rows_of_the_card(make_root: MakeRoot) -> None:
    root = make_root(exports=["merged", "gguf-f16"], hyperparameters={"epochs": 2}, evaluation=QUIET)
    assert run("trainer.train", "--root", root).exit_code == 0
    rows = card(root)["exports"]
    assert [(row["kind"], row["proof"]["ok"]) for row in rows] == [("merged", True), ("gguf-f16", True)]
    assert (root / "model" / "exports" / "gguf-f16" / "model.gguf").exists() or list(
        (root / "model" / "exports" / "gguf-f16").glob("*.gguf")
    )


def test_exports_count_into_the_cost_of_the_run(make_root: MakeRoot) -> None:
    limits = {"price_per_second": 0.01}
    root = make_root(exports=["merged"], limits=limits, hyperparameters={"epochs": 1}, evaluation=QUIET)
    assert run("trainer.train", "--root", root).exit_code == 0
    content = card(root)
    clock = json.loads((root / "checkpoints" / "clock.json").read_text())
    assert content["seconds"] >= content["exports"][0]["seconds"]
    assert abs(clock["seconds"] - content["seconds"]) < 1
    assert abs(content["cost"] - content["seconds"] * 0.01) < 0.01


def test_no_export_begins_once_the_time_is_spent(make_root: MakeRoot) -> None:
    root = make_root(exports=["merged"], limits={"max_seconds": 1}, hyperparameters={"epochs": 100}, evaluation=QUIET)
    assert run("trainer.train", "--root", root).exit_code == 0
    content = card(root)
    assert content["ended"] == "max_seconds"
    assert [row["error"]["code"] for row in content["exports"]] == ["export_skipped"]


def model_is_whole(root: Path) -> bool:
    return (root / "model" / "model_card.json").exists() and (root / "model" / "adapter_model.safetensors").exists()


def test_a_kill_during_exports_leaves_a_whole_model_without_them(make_root: MakeRoot) -> None:
    root = make_root(exports=["onnx"], hyperparameters={"epochs": 1}, evaluation=QUIET)
    program = start("trainer.train", "--root", root)
    program.wait_for(lambda: model_is_whole(root))
    program.kill()
    assert card(root)["exports"] == []
    assert not (root / "model" / "exports" / "onnx").exists()


def test_a_stop_during_exports_leaves_those_that_have_not_begun_to_a_restart(make_root: MakeRoot) -> None:
    root = make_root(exports=["onnx", "merged"], hyperparameters={"epochs": 1}, evaluation=QUIET)
    program = start("trainer.train", "--root", root)
    program.wait_for(lambda: model_is_whole(root))
    program.terminate()
    assert program.exit_code == 3
    assert model_is_whole(root)
    assert [row["kind"] for row in card(root)["exports"]] != ["onnx", "merged"]
    assert run("trainer.train", "--root", root).exit_code == 0
    assert [row["kind"] for row in card(root)["exports"]] == ["onnx", "merged"]
