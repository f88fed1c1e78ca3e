import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.container.conftest import MakeRoot
from tests.container.programs import run
from trainer import config, data, files
from trainer.folders import Folders

# Recorded with torch 2.13.0, transformers 5.23.0, peft 0.21.2, trl 1.16.0 on x86-64.
RECORDED_LOSSES = {1: 7.7979, 5: 2.1949, 10: 0.9527, 20: 0.3897}


def metrics(root: Path, name: str = "training_loss") -> dict[int, float]:
    """Step → value; the last line of a step wins."""
    lines = (root / "checkpoints" / "metrics.jsonl").read_text().splitlines()
    return {line["step"]: line[name] for line in map(json.loads, lines) if line[name] is not None}


def card(root: Path) -> dict[str, Any]:
    return json.loads((root / "model" / "model_card.json").read_text())


def weights_sha256(content: dict[str, Any]) -> str:
    """Of the adapter that a model card vouches for."""
    return next(file["sha256"] for file in content["files"] if file["path"] == "adapter_model.safetensors")


def test_losses_are_those_recorded(tuned: Path) -> None:
    losses = metrics(tuned)
    assert {step: losses[step] for step in RECORDED_LOSSES} == pytest.approx(RECORDED_LOSSES, rel=0.02)


def test_each_metrics_line_has_every_field_of_the_contract(tuned: Path) -> None:
    lines = [json.loads(line) for line in (tuned / "checkpoints" / "metrics.jsonl").read_text().splitlines()]
    fields = "time phase step total_steps epoch total_epochs training_loss validation_loss learning_rate"
    fields += " trained_tokens seconds_remaining tokens_per_second"
    assert {tuple(line)[:12] for line in lines} == {tuple(fields.split())}
    extras = {name for line in lines for name in tuple(line)[12:]}
    assert extras == {"gradient_norm", "token_accuracy"}
    assert [line["phase"] for line in lines[-2:]] == ["evaluating", "saving"]
    assert lines[0]["total_steps"] == 20
    assert lines[-1]["seconds_remaining"] == 0


def test_the_validation_loss_falls_and_is_reported_once_per_epoch(tuned: Path) -> None:
    losses = metrics(tuned, "validation_loss")
    assert list(losses) == [5, 10, 15, 20]
    assert losses[20] < losses[5]


def test_the_model_card_vouches_for_every_file(tuned: Path) -> None:
    described = {file["path"]: file["sha256"] for file in card(tuned)["files"]}
    present = {file["path"]: file["sha256"] for file in files.listing(tuned / "model")}
    del present["model_card.json"]
    assert described == present
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "chat_template.jinja"} <= set(present)


def test_the_model_card_says_what_was_trained_on_what(tuned: Path) -> None:
    content = card(tuned)
    assert content["dataset"]["train"]["rows"] == 33
    assert content["dataset"]["validation"]["rows"] == 20
    assert content["base_model"] == {"id": "luthier/tiny", "revision": "main"}
    assert content["metrics"]["validation_loss"] == metrics(tuned, "validation_loss")[20]
    assert content["metrics"]["epoch"] == 4
    assert content["trained_tokens"] == 4 * content["dataset"]["train"]["tokens"]


def test_the_adapter_loads_back_and_scores_as_the_run_said(tuned: Path, tiny: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tuned / "model")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), tuned / "model")
    _, validation = data.load(Folders(tuned), tokenizer, config.load(Folders(tuned).job_config))
    assert _loss(model, validation) == pytest.approx(card(tuned)["metrics"]["validation_loss"], rel=1e-3)


def _loss(model: Any, examples: Any) -> float:
    import torch

    total = 0.0
    with torch.inference_mode():
        for example in examples.dataset.with_format("torch"):
            ids, labels = example["input_ids"][None], example["labels"][None]
            total += model(input_ids=ids, labels=labels).loss.item() * int((labels[:, 1:] != -100).sum())
    return total / examples.trained


def test_the_adapter_names_the_base_model_not_a_folder(tuned: Path) -> None:
    config = json.loads((tuned / "model" / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("luthier/tiny", "main")


def test_only_the_top_layers_are_trained_when_asked(make_root: MakeRoot) -> None:
    from safetensors import safe_open

    root = make_root(hyperparameters={"epochs": 1, "lora_rank": 4, "lora_layers": 1})
    assert run("trainer.train", "--root", root).exit_code == 0
    with safe_open(root / "model" / "adapter_model.safetensors", "pt") as adapter:
        assert {name.split(".")[4] for name in adapter.keys()} == {"3"}  # noqa: SIM118  # not a dict


def test_a_time_limit_ends_the_run_as_planned_with_a_model(make_root: MakeRoot) -> None:
    root = make_root(limits={"max_seconds": 1}, hyperparameters={"epochs": 100})
    assert run("trainer.train", "--root", root).exit_code == 0
    result = json.loads((root / "checkpoints" / "result.json").read_text())
    assert result["ended"] == card(root)["ended"] == "max_seconds"
    assert 0 < result["step"] < result["total_steps"]


def test_a_cost_cap_ends_the_run_with_a_checkpoint_to_go_on_from(make_root: MakeRoot) -> None:
    root = make_root(limits={"max_cost": 0.01, "price_per_second": 1.0}, hyperparameters={"epochs": 100})
    assert run("trainer.train", "--root", root).exit_code == 0
    result = json.loads((root / "checkpoints" / "result.json").read_text())
    assert result["ended"] == "max_cost"
    assert 0 < result["step"] < result["total_steps"]
    assert (root / "checkpoints" / f"checkpoint-{result['step']}" / "complete.json").exists()
    assert not any((root / "model").glob("*"))


def test_a_relaunch_of_the_same_attempt_does_not_get_a_fresh_budget(make_root: MakeRoot) -> None:
    root = make_root(limits={"max_seconds": 600})
    (root / "checkpoints").mkdir()
    (root / "checkpoints" / "clock.json").write_text('{"attempt": 1, "seconds": 599.9}')
    assert run("trainer.train", "--root", root).exit_code == 0
    assert json.loads((root / "checkpoints" / "result.json").read_text())["step"] == 1


def test_the_job_starts_as_the_image_starts_it(make_root: MakeRoot) -> None:
    root = make_root(hyperparameters={"epochs": 1})
    command = [sys.executable, "-m", "trainer.train", "--root", str(root), "train"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[-1]["message"] == "done"
    assert {line["level"] for line in lines} == {"info"}
    assert all({"timestamp", "level", "message"} <= set(line) for line in lines)
    assert done.stderr == ""
