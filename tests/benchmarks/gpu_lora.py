"""LoRA's speed and memory on one GPU: ours against Hugging Face's Trainer, TRL and Unsloth, in one run.

    export PYTHONPATH=.:training_container:layers/core/python
    python -m tests.benchmarks.gpu_lora --shape llama-3.1-8b --lengths full --micro-batch 4
    python -m tests.benchmarks.gpu_lora --shape llama-3.1-8b --lengths lognormal --micro-batch 8 --accumulation 4
    python -m tests.benchmarks.gpu_lora --shape tiny --lengths lognormal        # on a CPU, in two minutes

Random weights in bf16 with LoRA of rank 16 on all linear layers, random tokens, all of them labels; each variant in a
process of its own. A step is timed from the end of the one before to its own, GPU finished, data loading included; what
does not fit is tried again with half the rows at a time and twice as often. Tokens leave padding out. MFU = tokens/s
* (4 P + 6 P_lora + 3 A) / peak (`Shape.flops_per_token`); what checkpointing computes again does not count.

Numbers count only where the gate holds: on two rows of different lengths, before the first step, the loss within
5e-3 and the adapter's gradient within a cosine of 0.999 of the plain padded path in fp32 with the same weights; or,
where the rounding of bf16 alone moves the plain path's gradient further than that, no further than twice as far.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.benchmarks import gpu_run, gpu_shapes, gpu_variants

OUT_OF_MEMORY = "out of memory"
MOST_LOSS_DIFFERENCE, LEAST_COSINE = 5e-3, 0.999


def main() -> None:
    given = parse(sys.argv[1:])
    if given.one:
        print(json.dumps(gpu_run.run(given.one, given)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if not all(map(gpu_variants.missing, given.variants)):
            plain = [attempt(name, given, Path(folder)) for name in (gpu_run.REFERENCE, gpu_run.PLAIN)]
            for result in plain:
                if "error" in result:
                    raise SystemExit(f"The plain path does not run: {result['error']}")
            told(gpu_run.PLAIN, plain[1])
            given.least_cosine = min(LEAST_COSINE, 1 - 2 * (1 - plain[1]["gradient_cosine"]))
        results = {name: told(name, attempt(name, given, Path(folder))) for name in given.variants}
    for result in results.values():
        if "error" not in result:
            result["passes"] = passes(result, given.least_cosine)
            result["mfu"] = result["tflops"] / given.peak_tflops if on_gpu() else None
    if given.json:
        print(json.dumps(described(given) | {"results": results}))
    else:
        report(results, given)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(gpu_shapes.SHAPES), default="llama-3.1-8b")
    parser.add_argument("--lengths", choices=["full", "lognormal"], default="full")
    parser.add_argument(
        "--variants", nargs="+", choices=list(gpu_variants.VARIANTS), default=list(gpu_variants.VARIANTS)
    )
    parser.add_argument("--micro-batch", type=int, default=4, help="rows that go through the model at once")
    parser.add_argument("--accumulation", type=int, default=1, help="micro-batches per step")
    parser.add_argument("--warm-up", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10, help="timed ones")
    parser.add_argument("--peak-tflops", type=float, default=gpu_shapes.PEAK_TFLOPS, help="dense bf16 of the GPU")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a Markdown table")
    parser.set_defaults(least_cosine=LEAST_COSINE)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def attempt(name: str, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The variant's numbers, or {"error": why there are none}."""
    if package := gpu_variants.missing(name):
        return {"error": f"{package} is not installed"}
    micro_batch, accumulation = given.micro_batch, given.accumulation
    while True:
        sizes = ["--micro-batch", str(micro_batch), "--accumulation", str(accumulation)]
        result = run_alone([*sys.argv[1:], *sizes, "--folder", str(folder), "--one", name])
        if result.get("error") != OUT_OF_MEMORY or micro_batch % 2:
            return result
        micro_batch, accumulation = micro_batch // 2, accumulation * 2


def told(name: str, result: dict[str, Any]) -> dict[str, Any]:
    """The same, written to standard error as it comes."""
    print(json.dumps({"variant": name} | result), file=sys.stderr, flush=True)
    return result


def run_alone(arguments: list[str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.gpu_lora", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if "OutOfMemoryError" in done.stderr or done.returncode == -9:
        return {"error": OUT_OF_MEMORY}
    lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
    return {"error": next((line for line in reversed(lines) if "Error" in line), lines[-1])}


def passes(result: dict[str, Any], least_cosine: float) -> bool:
    """The gate: the same loss and gradient as the plain path."""
    return result["loss_difference"] <= MOST_LOSS_DIFFERENCE and result["gradient_cosine"] >= least_cosine


def on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def device_name() -> str:
    import torch

    return torch.cuda.get_device_name() if on_gpu() else "CPU (says nothing about a GPU)"


def described(given: argparse.Namespace) -> dict[str, Any]:
    """What a number means nothing without."""
    names = ("shape", "lengths", "micro_batch", "accumulation", "warm_up", "steps", "peak_tflops", "least_cosine")
    return {
        "device": device_name(),
        "flops_per_token": "4 P + 6 P_lora + 3 A",
        **{name: getattr(given, name) for name in names},
        "versions": {name: version(name) for name in ("torch", "transformers", "peft", "trl")},
    }


def report(results: dict[str, dict[str, Any]], given: argparse.Namespace) -> None:
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in described(given).items()) + "\n")
    print("| variant | tokens/s | to the best peer | TFLOP/s | MFU | step, median / max | peak | rows | gate |")
    print("|---|---|---|---|---|---|---|---|---|")
    best = best_peer(results)
    for name, result in results.items():
        print(f"| {name} | {result['error']} |" + " |" * 7 if "error" in result else line(name, result, best))


def best_peer(results: dict[str, dict[str, Any]]) -> float:
    """Tokens per second of the fastest variant that is not ours and passes the gate."""
    peers = [result for name, result in results.items() if not name.startswith("ours") and "error" not in result]
    return max((result["tokens_per_second"] for result in peers if result["passes"]), default=float("nan"))


def line(name: str, result: dict[str, Any], best: float) -> str:
    steps = f"{result['step_seconds_median'] * 1e3:.0f} / {result['step_seconds_max'] * 1e3:.0f} ms"
    gate = f"{result['loss_difference']:.1e}, {result['gradient_cosine']:.5f}"
    cells = [
        name,
        f"{result['tokens_per_second']:.0f}",
        f"{result['tokens_per_second'] / best:.2f}",
        f"{result['tflops']:.3g}",
        f"{result['mfu']:.0%}" if result["mfu"] else "-",
        steps,
        f"{result['peak_gib']:.1f} GiB",
        f"{result['micro_batch']} x {result['accumulation']}",
        gate if result["passes"] else f"**fails**: {gate}",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
