"""Start of the program to the end of its first optimizer step: ours against `trl sft`, on the same model and rows.

    export PYTHONPATH=training_container:layers/core/python
    .venv-trainer/bin/python tests/benchmarks/trainer_first_step.py --model <folder> --turns 3

Each is a command of its own, in turns, stopped when it reports its first step; a report follows each step in both. CPU
time is that of the command and all processes it started. TRL trains in fp32 without activation checkpointing, since its
defaults are slower on a CPU; `trl.scripts.sft` is what `trl sft` starts in a second process, without the starter.
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

from luthier.jobs.hyperparameters import LINEAR_LAYERS

TICKETS = Path(__file__).parents[2] / "training_container" / "demo" / "tickets" / "train.jsonl"
TICKS = os.sysconf("SC_CLK_TCK")
SIDES = ("ours", "trl sft", "trl.scripts.sft")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="folder of a safetensors snapshot (default: the tiny test model)")
    parser.add_argument("--rows", type=Path, default=TICKETS, help="JSONL file of chats (default: the demo's tickets)")
    parser.add_argument("--turns", type=int, default=3, help="how often each is measured")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    given = parser.parse_args()
    os.environ.update(OMP_WAIT_POLICY="passive", HF_HUB_OFFLINE="1", TRL_EXPERIMENTAL_SILENCE="1", PYTHONUNBUFFERED="1")
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or build_tiny(Path(folder) / "tiny")
        times: dict[str, list[tuple[float, float]]] = {side: [] for side in given.sides}
        for turn in range(given.turns):
            for side in given.sides:
                place = Path(folder) / f"{side.replace(' ', '-')}-{turn}"
                times[side].append(first_step(command(side, model, given.rows, place)))
    report(times, given.json)


def build_tiny(folder: Path) -> Path:
    from demo import tiny_model

    return tiny_model.build(folder)


def command(side: str, model: Path, rows: Path, folder: Path) -> list[str]:
    folder.mkdir()
    if side == "ours":
        prepare_root(folder, model, rows)
        return [sys.executable, "-m", "trainer.train", "--root", str(folder)]
    data = folder / "rows"
    data.mkdir()
    (data / "train.jsonl").symlink_to(rows.resolve())
    start = [str(Path(sys.executable).with_name("trl")), "sft"]
    start = start if side == "trl sft" else [sys.executable, "-m", "trl.scripts.sft"]
    return [
        *start,
        *("--model_name_or_path", str(model), "--dataset_name", str(data), "--output_dir", str(folder / "out")),
        *("--use_peft", "True", "--lora_r", "8", "--lora_alpha", "16", "--lora_target_modules", *LINEAR_LAYERS),
        *("--per_device_train_batch_size", "4", "--logging_steps", "1", "--max_steps", "3", "--learning_rate", "2e-4"),
        *("--bf16", "False", "--activation_checkpointing", "False", "--use_cpu", "True", "--dtype", "float32"),
        *("--report_to", "none", "--save_strategy", "no", "--disable_tqdm", "True", "--max_length", "1024"),
        *("--dataloader_pin_memory", "False", "--lora_dropout", "0"),
    ]


def prepare_root(folder: Path, model: Path, rows: Path) -> None:
    inputs = folder / "input" / "data"
    for name in ("config", "train"):
        (inputs / name).mkdir(parents=True)
    (inputs / "train" / "train.jsonl").symlink_to(rows.resolve())
    (inputs / "model").symlink_to(model.resolve())
    job = {
        "version": 1,
        "organization_id": "benchmark",
        "job_id": "benchmark",
        "base_model": {"id": "benchmark", "revision": "main"},
        "hyperparameters": {
            "epochs": 1,
            "batch_size": 4,
            "max_sequence_length": 1024,
            "lora_rank": 8,
            "lora_alpha": 16,
            "validation_share": 0,
        },
    }
    (inputs / "config" / "job.json").write_text(json.dumps(job))


def first_step(arguments: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds from the start to the first report of a loss."""
    began, last = time.perf_counter(), []
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout
    for line in process.stdout:
        last = [*last[-40:], line]
        # Ours is a JSON line of the log, TRL's the dictionary that transformers prints.
        if "'loss':" in line or '"training_loss":' in line:
            break
    else:
        raise SystemExit(f"No step was reported by {' '.join(arguments)}\n{''.join(last)}")
    wall, processes = time.perf_counter() - began, [process.pid, *descendants(process.pid)]
    cpu = sum(cpu_seconds(pid) for pid in processes)
    for pid in reversed(processes):
        os.kill(pid, 9)
    process.stdout.close()
    process.wait()
    return wall, cpu


def descendants(pid: int) -> list[int]:
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [found for child in children for found in (child, *descendants(child))]


def cpu_seconds(pid: int) -> float:
    """Of the process and the children it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / TICKS


def report(times: dict[str, list[tuple[float, float]]], as_json: bool) -> None:
    middle = {
        side: tuple(statistics.median(values) for values in zip(*runs, strict=True)) for side, runs in times.items()
    }
    if as_json:
        print(json.dumps({side: {"wall": wall, "cpu": cpu} for side, (wall, cpu) in middle.items()}))
        return
    print("| | wall s | CPU s | ours / it, wall | ours / it, CPU |\n|---|---|---|---|---|")
    ours = middle.get("ours", (float("nan"),) * 2)
    for side, (wall, cpu) in middle.items():
        print(f"| {side} | {wall:.1f} | {cpu:.1f} | {ours[0] / wall:.2f} | {ours[1] / cpu:.2f} |")


if __name__ == "__main__":
    main()
