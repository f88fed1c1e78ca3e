"""Trained tokens per second of the sft recipe, as a ratio to the best of TRL's configurations on the same rows.

    export PYTHONPATH=training_container:layers/core/python
    .venv-trainer/bin/python -m demo.demo_model build/demo-model
    .venv-trainer/bin/python tests/benchmarks/trainer_tokens_per_second.py --model build/demo-model

Every side trains the same LoRA on the same rows, the answers alone, in fp32 on a CPU, each in a process of its own and
in turns; tokens are those of the timed steps, padding left out, and the best turn counts. The peers are TRL's defaults
(bf16 off, which is slower still) and what its documentation offers to be faster: no activation checkpointing, no
padding, packing. A packed sequence is as long as a batch of the others, so that a step has as many rows. Where other
programs run on the machine, tokens per second of processor time with OMP_NUM_THREADS=1 are what to compare.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

TICKETS = Path(__file__).parents[2] / "training_container" / "demo" / "tickets" / "train.jsonl"
WARM_UP = 2
ROWS = 200
LONGEST = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a safetensors snapshot (default: the tiny test model)")
    parser.add_argument("--lengths", choices=["tickets", "lognormal"], default="tickets", help="which rows")
    parser.add_argument("--steps", type=int, default=10, help=f"timed steps per turn, after {WARM_UP} to warm up")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--layers", type=int, help="train only the top N layers, on all sides")
    parser.add_argument("--turns", type=int, default=3, help="how often each is measured")
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--one", choices=list(SIDES), help=argparse.SUPPRESS)
    given = parser.parse_args()
    os.environ.update(OMP_WAIT_POLICY="passive", HF_HUB_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1")
    if given.one:
        print(json.dumps(measure(SIDES[given.one], given)))
    else:
        compare(given)


def compare(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or build_tiny(Path(folder) / "tiny")
        rows = TICKETS if given.lengths == "tickets" else write_mix(Path(folder) / "mix.jsonl", model)
        rates: dict[str, list[list[float]]] = {side: [] for side in given.sides}
        for _ in range(given.turns):
            for side in rates:
                rates[side].append(run_side(side, model, rows))
                print(f"{side:18} {rates[side][-1][0]:8.1f} tokens/s", file=sys.stderr, flush=True)
    report({side: [max(kind) for kind in zip(*turns, strict=True)] for side, turns in rates.items()}, given.json)


def report(best: dict[str, list[float]], as_json: bool) -> None:
    peers = [rates for side, rates in best.items() if side.startswith("trl")]
    fastest = [max(kind) for kind in zip(*peers, strict=True)] if peers else [float("nan")] * 2
    lines = {
        side: [*rates, *(rate / peer for rate, peer in zip(rates, fastest, strict=True))]
        for side, rates in best.items()
    }
    if as_json:
        names = ("tokens_per_second", "tokens_per_cpu_second", "ratio", "cpu_ratio")
        print(json.dumps({side: dict(zip(names, line, strict=True)) for side, line in lines.items()}))
        return
    print("| | tokens/s | tokens/CPU s | to the best peer | by CPU time |\n|---|---|---|---|---|")
    for side, (rate, cpu_rate, ratio, cpu_ratio) in lines.items():
        print(f"| {side} | {rate:.1f} | {cpu_rate:.1f} | {ratio:.2f} | {cpu_ratio:.2f} |")


def build_tiny(folder: Path) -> Path:
    from demo import tiny_model

    return tiny_model.build(folder)


def write_mix(path: Path, model: Path) -> Path:
    """Conversations whose lengths are log-normal, mostly 20 to 150 tokens; a third of each is the answer."""
    from transformers import AutoTokenizer

    tokenizer, dice = AutoTokenizer.from_pretrained(model), random.Random(7)
    lines = []
    for _ in range(ROWS):
        length = min(max(round(dice.lognormvariate(4.0, 0.9)), 16), LONGEST)
        text = tokenizer.decode([dice.randrange(500, 1_000) for _ in range(length)])
        cut = len(text) * 2 // 3
        turns = (("user", text[:cut].strip()), ("assistant", text[cut:].strip()))
        lines.append(json.dumps({"messages": [{"role": role, "content": content} for role, content in turns]}))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run_side(side: str, model: Path, rows: Path) -> list[float]:
    command = [sys.executable, __file__, *sys.argv[1:], "--model", str(model), "--rows", str(rows), "--one", side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def measure(build: Any, given: argparse.Namespace) -> list[float]:
    """Tokens per second, and per second of processor time."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = build(given, Path(folder))
        for name, value in timed_steps(given, Path(folder)).items():
            setattr(trainer.args, name, value)
        clock = make_clock(trainer)
        trainer.add_callback(clock)
        trainer.train()
    return [clock.tokens / clock.seconds, clock.tokens / clock.cpu_seconds]


def make_clock(trainer: Any) -> Any:
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Time and tokens of the steps after the warm-up."""

        tokens = 0
        seconds = cpu_seconds = 0.0
        began = (0.0, 0.0)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            now = (time.perf_counter(), time.process_time())
            if state.global_step == WARM_UP:
                self.tokens, self.began = 0, now
            self.seconds, self.cpu_seconds = (after - before for after, before in zip(now, self.began, strict=True))

    clock, step = Clock(), trainer.training_step

    # transformers takes end-of-turn tokens for padding in batches without a mask, so that counts are made here.
    def counting(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        mask = inputs.get("attention_mask")
        clock.tokens += inputs["input_ids"].numel() if mask is None else int(mask.sum())
        return step(model, inputs, *args, **kwargs)

    trainer.training_step = counting
    return clock


def timed_steps(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    return {"output_dir": str(folder / "out"), "max_steps": given.steps + WARM_UP, "save_strategy": "no"}


def trl(given: argparse.Namespace, folder: Path, **settings: Any) -> Any:
    """TRL on prompts and completions, of which it trains the latter."""
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    torch.manual_seed(0)
    rows = load_dataset("json", data_files=str(given.rows), split="train", cache_dir=str(folder / "cache"))
    parted = rows.map(lambda row: {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]})
    if settings.get("packing"):
        settings |= {"per_device_train_batch_size": 1, "max_length": batch_tokens(given, parted)}
    arguments = {
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": given.batch_size,
        "num_train_epochs": 100,
        "report_to": [],
        "disable_tqdm": True,
        "model_init_kwargs": {"dtype": "float32"},
        **timed_steps(given, folder),
        **settings,
    }
    return SFTTrainer(
        model=str(given.model),
        args=SFTConfig(**arguments),
        train_dataset=parted.remove_columns("messages"),
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, **adapted(given)),
    )


def batch_tokens(given: argparse.Namespace, rows: Any) -> int:
    """Tokens of a batch on average, or of the longest row."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(given.model)
    lengths = [len(tokenizer.apply_chat_template(row["messages"])["input_ids"]) for row in rows]
    return max(sum(lengths) * given.batch_size // len(lengths), *lengths)


def adapted(given: argparse.Namespace) -> dict[str, Any]:
    from transformers import AutoConfig

    from luthier.jobs.hyperparameters import LINEAR_LAYERS

    layers = AutoConfig.from_pretrained(given.model).num_hidden_layers
    top = list(range(layers - given.layers, layers)) if given.layers else None
    return {"target_modules": list(LINEAR_LAYERS), "layers_to_transform": top}


def ours(given: argparse.Namespace, folder: Path, *, padded: bool = False, fused: bool = True) -> Any:
    """The recipe's own trainer; `padded` replaces what it chooses, without `fused` PEFT computes the adapters."""
    from trainer import callbacks, fused_lora, preparation
    from trainer.memory import Rung
    from trainer.recipes import sft

    job, parts = preparation.prepare(make_job(given, folder))
    with mock.patch("trainer.padding_free.worthwhile", return_value=False) if padded else nullcontext():
        trainer = sft.build(job, parts, Rung(given.batch_size, 1))
    if fused:
        fused_lora.enable(trainer.model)
    # No side saves.
    trainer.remove_callback(callbacks.Checkpoints)
    return trainer


def make_job(given: argparse.Namespace, folder: Path) -> Any:
    from trainer import device
    from trainer.budget import Budget
    from trainer.config import JobConfig
    from trainer.folders import Folders
    from trainer.interruption import Interruption
    from trainer.job import Job

    device.prepare_environment()
    inputs = folder / "input" / "data"
    (inputs / "train").mkdir(parents=True)
    (inputs / "train" / "train.jsonl").symlink_to(given.rows.resolve())
    (inputs / "model").symlink_to(given.model.resolve())
    folders = Folders(folder)
    folders.checkpoints.mkdir()
    config = JobConfig.model_validate(job_config(given))
    return Job(config, folders, Budget(config, folders.clock, time.monotonic()), Interruption())


def job_config(given: argparse.Namespace) -> dict[str, Any]:
    return {
        "version": 1,
        "organization_id": "benchmark",
        "job_id": "benchmark",
        "base_model": {"id": "benchmark", "revision": "main"},
        "hyperparameters": {
            "epochs": 100,
            "batch_size": given.batch_size,
            "max_sequence_length": 1024,
            "validation_share": 0,
            "lora_rank": 8,
            "lora_alpha": 16,
            "lora_layers": given.layers,
        },
    }


_FAST = {"activation_checkpointing": False}
SIDES: dict[str, Callable[[argparse.Namespace, Path], Any]] = {
    "trl_default": trl,
    "trl_uncheckpointed": partial(trl, **_FAST),
    "trl_padding_free": partial(trl, **_FAST, padding_free=True, max_length=None),
    "trl_packing": partial(trl, **_FAST, packing=True),
    "ours": ours,
    "ours_padded": partial(ours, padded=True),
    "ours_pefts_lora": partial(ours, fused=False),
}


if __name__ == "__main__":
    main()
