"""The training job: `python -m trainer.train [--root /opt/ml]`.

Exit codes: 0 done (also planned endings, see checkpoints/result.json), 1 the user's fault, 2 ours, 3 stopped by
SIGTERM and resumable. On 1 to 3, output/failure says why in one JSON line.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

from trainer import config, device, failures, log
from trainer.budget import Budget
from trainer.folders import Folders
from trainer.interruption import Interruption

# Imported by name only once the config is known to be right: a recipe takes seconds to import.
RECIPES = {"sft": "trainer.recipes.sft"}


def main() -> int:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=Path("/opt/ml"), help="folder of SageMaker's layout")
    # SageMaker appends the word "train" to whatever the image starts.
    parser.add_argument("command", nargs="?", choices=["train"], help=argparse.SUPPRESS)
    folders = Folders(parser.parse_args().root.resolve())
    attempt = 1
    try:
        interruption = Interruption()
        interruption.listen()
        forget_earlier_run(folders)
        job = config.load(folders.job_config)
        attempt = job.attempt
        run(job, folders, Budget(job, folders.clock, started), interruption)
    except BaseException as error:
        return failures.report(error, folders, attempt)
    return 0


def run(job: config.JobConfig, folders: Folders, budget: Budget, interruption: Interruption) -> None:
    log.info("starting", job_id=job.job_id, attempt=job.attempt, method=job.method, base_model=job.base_model.id)
    device.prepare_environment()
    log.capture_libraries()
    recipe = importlib.import_module(RECIPES[job.method])
    ended = recipe.run(job, folders, budget, interruption)
    log.info("done", ended=ended, seconds=round(budget.seconds, 1))


def forget_earlier_run(folders: Folders) -> None:
    """Remove the words of an earlier launch, which would be taken for this one's; its checkpoints stay."""
    folders.checkpoints.mkdir(parents=True, exist_ok=True)
    for path in (folders.result, folders.traceback, folders.failure):
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
