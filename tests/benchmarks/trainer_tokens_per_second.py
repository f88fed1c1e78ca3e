"""Tokens per second of the sft recipe, as a ratio to TRL's SFTTrainer with its defaults, on the same model and rows.

    export PYTHONPATH=training_container:layers/core/python
    .venv-trainer/bin/python tests/benchmarks/trainer_tokens_per_second.py

Both train the same LoRA on the same examples, each in a process of its own, in turns (ours, TRL, ours, TRL …), and
count the tokens of the timed steps only. Absolute numbers depend on the machine and on what else runs on it; the ratio
is what to compare. With no --model, the tiny test model is used; the demo model says more:
python -m demo.demo_model <folder>.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TICKETS = Path(__file__).parents[2] / "training_container" / "demo" / "tickets" / "train.jsonl"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a safetensors snapshot (default: the tiny test model)")
    parser.add_argument("--rows", type=Path, default=TICKETS, help="JSONL file (default: the demo's tickets)")
    parser.add_argument("--steps", type=int, default=10, help="timed steps per turn, after 2 to warm up")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--layers", type=int, help="train only the top N layers, in both")
    parser.add_argument("--turns", type=int, default=2, help="how often each is measured")
    parser.add_argument("--side", choices=sorted(SIDES), help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if given.side:
        print(json.dumps(measure(SIDES[given.side], given)))
    else:
        compare(given)


def compare(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or build_tiny(Path(folder) / "tiny")
        rates: dict[str, list[float]] = {"ours": [], "trl": []}
        for _ in range(given.turns):
            for side in rates:
                rates[side].append(run_side(side, model))
                print(f"{side:5} {rates[side][-1]:10.1f} tokens/s", flush=True)
    ours, trl = (statistics.median(rates[side]) for side in ("ours", "trl"))
    print(f"ours / TRL defaults: {ours / trl:.2f}")


def build_tiny(folder: Path) -> Path:
    from demo import tiny_model

    return tiny_model.build(folder)


def run_side(side: str, model: Path) -> float:
    command = [sys.executable, __file__, *sys.argv[1:], "--model", str(model), "--side", side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])["tokens_per_second"]


def measure(build: Any, given: argparse.Namespace) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(given, Path(folder))
        clock = make_clock()
        trainer.add_callback(clock)
        trainer.train()
    return {"tokens_per_second": clock.tokens / clock.seconds}


def make_clock(warm_up: int = 2) -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Counts the time and tokens of the steps after the warm-up."""

        tokens = seconds = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == warm_up:
                self._start = (time.perf_counter(), state.num_input_tokens_seen)
            elif state.global_step > warm_up:
                self.seconds = time.perf_counter() - self._start[0]
                self.tokens = state.num_input_tokens_seen - self._start[1]

    return Clock()


def plain_trl(given: argparse.Namespace, folder: Path) -> Any:
    """What TRL's documentation shows: the rows as they are, a LoraConfig, everything else left to its defaults."""
    from datasets import load_dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    rows = load_dataset("json", data_files=str(given.rows), split="train", cache_dir=str(folder / "cache"))
    return SFTTrainer(
        model=str(given.model),
        args=SFTConfig(**measured_steps(given, folder)),
        train_dataset=rows,
        peft_config=lora(LoraConfig, given),
    )


def ours(given: argparse.Namespace, folder: Path) -> Any:
    """The recipe's own setup, with the number of steps fixed."""
    from trainer.budget import Budget
    from trainer.config import JobConfig
    from trainer.folders import Folders
    from trainer.interruption import Interruption
    from trainer.recipes import sft

    inputs = folder / "input" / "data"
    (inputs / "train").mkdir(parents=True)
    (inputs / "train" / "train.jsonl").symlink_to(given.rows.resolve())
    (inputs / "model").symlink_to(given.model.resolve())
    (folder / "checkpoints").mkdir()
    folders = Folders(folder)
    config = JobConfig.model_validate(job(given))
    trainer = sft.setup(config, folders, Budget(config, folders.clock, time.monotonic()), Interruption()).trainer
    for name in ("max_steps", "save_strategy"):
        setattr(trainer.args, name, measured_steps(given, folder)[name])
    return trainer


def measured_steps(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    import torch

    return {
        # Without it TRL's defaults (bf16) do not start on a machine without GPU.
        "use_cpu": not torch.cuda.is_available(),
        "output_dir": str(folder / "checkpoints"),
        "per_device_train_batch_size": given.batch_size,
        "max_steps": given.steps + 2,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "include_num_input_tokens_seen": "non_padding",
    }


def lora(kind: Any, given: argparse.Namespace) -> Any:
    from transformers import AutoConfig

    from trainer.config import LINEAR_LAYERS

    layers = AutoConfig.from_pretrained(given.model).num_hidden_layers
    top = list(range(layers - given.layers, layers)) if given.layers else None
    return kind(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules=LINEAR_LAYERS, layers_to_transform=top)


def job(given: argparse.Namespace) -> dict[str, Any]:
    from trainer.config import LINEAR_LAYERS

    return {
        "version": 1,
        "organization_id": "benchmark",
        "job_id": "benchmark",
        "base_model": {"id": "benchmark", "revision": "main"},
        "adapter": {"rank": 8, "alpha": 16, "target_modules": LINEAR_LAYERS, "layers": given.layers},
        "hyperparameters": {"epochs": 100, "batch_size": given.batch_size, "max_sequence_length": 1024},
    }


SIDES = {"ours": ours, "trl": plain_trl}


if __name__ == "__main__":
    main()
