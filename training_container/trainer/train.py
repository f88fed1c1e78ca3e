"""The training job: `python -m trainer.train [--root /opt/ml]`.

Exit codes: 0 done (also planned endings, see checkpoints/result.json), 1 the user's fault, 2 ours, 3 stopped by
SIGTERM and resumable. On 1 to 3, output/failure says why in one JSON line. Where SageMaker gives several GPUs or hosts
this process starts torchrun, which starts one worker per GPU: the same program again.
"""

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from trainer import config, device, distribution, failures, imports, log, wandb_run
from trainer.budget import Budget
from trainer.failures import Failure
from trainer.folders import Folders
from trainer.interruption import Interruption
from trainer.job import Job

# Imported by name only once the config is known to be right: a recipe takes seconds to import.
RECIPES = {method: f"trainer.recipes.{method}" for method in ("sft", "dpo", "orpo", "kto")}


def main() -> int:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"), help="folder of SageMaker's layout")
    # SageMaker appends the word "train" to whatever the image starts.
    parser.add_argument("command", nargs="?", choices=["train"], help=argparse.SUPPRESS)
    folders = Folders(parser.parse_args().root.resolve())
    job = None
    try:
        interruption = Interruption()
        interruption.listen()
        if not distribution.is_worker():
            forget_earlier_run(folders)
        asked = config.load(folders.job_config)
        job = Job(asked, folders, Budget(asked, folders.clock, started), interruption)
        plan = distribution.plan(folders)
        if not distribution.is_worker() and not plan.is_alone:
            return lead(plan, folders, interruption)
        run(job)
    except BaseException as error:
        if not distribution.is_first():
            return failures.classify(error).exit_code
        return failures.report(error, folders, job.config if job else None)
    return 0


def lead(plan: distribution.Plan, folders: Folders, interruption: Interruption) -> int:
    """Have the workers do it. What their first one reports is the run's own word."""
    log.info("starting workers", hosts=len(plan.hosts), processes=plan.processes)
    code = distribution.launch(plan, folders, ["--root", str(folders.root)], interruption)
    if code == 0:
        return 0
    try:
        reported = json.loads(folders.failure.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Failure("internal", f"A training process was lost (torchrun ended with {code}).") from None
    return failures.CODES[reported["code"]][0]


def run(job: Job) -> None:
    asked = job.config
    if distribution.is_worker():
        distribution.enter(job.folders, job.interruption)
    log.info(
        "starting", job_id=asked.job_id, attempt=asked.attempt, method=asked.method, base_model=asked.base_model.id
    )
    device.prepare_environment()
    log.capture_libraries()
    if distribution.is_worker():
        distribution.connect()
    unused = imports.unused_quantization(asked.hyperparameters.adapter, gpu=distribution.gpus_here() > 0)
    with imports.without(*unused):
        with imports.without(*imports.UNUSED):
            recipe = importlib.import_module(RECIPES[asked.method])
        ended = recipe.run(job)
    if asked.wandb and distribution.is_first():
        wandb_run.leave(asked, job.folders.metrics, job.folders.wandb)
    log.info("done", ended=ended, seconds=round(job.budget.seconds, 1))


def forget_earlier_run(folders: Folders) -> None:
    """Remove the words of an earlier launch, which would be taken for this one's; its checkpoints stay."""
    folders.checkpoints.mkdir(parents=True, exist_ok=True)
    for path in (folders.result, folders.traceback, folders.failure):
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
