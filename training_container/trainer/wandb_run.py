"""The run as Weights & Biases keeps it. A job has no network, so it leaves an offline run, which `wandb sync` uploads.

https://docs.wandb.ai/ref/cli/wandb-sync
"""

import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from trainer import log
from trainer.config import JobConfig

# Of a line of metrics.jsonl: what says where it stands, and is no measurement.
_PLACE = ("time", "phase", "step", "total_steps", "total_epochs")


def leave(config: JobConfig, metrics: Path, archive: Path) -> None:
    """Write all that metrics.jsonl has as an offline run into a .tar.gz, in one rename. A run never fails by this."""
    try:
        with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".wandb-") as scratch:
            folder = _written(config, metrics, Path(scratch))
            draft = Path(scratch) / archive.name
            with tarfile.open(draft, "w:gz") as packed:
                # Its logs are links into this machine.
                for part in (*folder.glob("*.wandb"), folder / "files"):
                    packed.add(part, f"{folder.name}/{part.name}")
            os.replace(draft, archive)
    except Exception as error:
        log.warning(f"the run for Weights & Biases was not written: {error!r}")
        return
    log.info("wrote the run for Weights & Biases", file=archive.name)


def _written(config: JobConfig, metrics: Path, scratch: Path) -> Path:
    """The folder of the offline run."""
    # Before the import, which reads them: nothing is sent, and nothing is written elsewhere.
    places = {name: str(scratch) for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")}
    os.environ.update(places | {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"})
    import wandb

    asked = config.wandb
    assert asked is not None
    settings = wandb.Settings(console="off", disable_git=True, save_code=False, silent=True, x_disable_stats=True)
    run = wandb.init(
        mode="offline",
        dir=str(scratch),
        id=config.job_id.replace("_", "-"),
        project=asked.project,
        name=asked.name,
        entity=asked.entity,
        tags=asked.tags,
        config={"base_model": config.base_model.id, "method": config.method, "seed": config.seed}
        | {name: value for name, value in vars(config.hyperparameters).items() if value is not None},
        settings=settings,
    )
    for line in _lines(metrics):
        run.log({name: value for name, value in line.items() if name not in _PLACE}, step=line["step"])
    run.finish()
    [folder] = (scratch / "wandb").glob("offline-run-*")
    return folder


def _lines(metrics: Path) -> list[dict[str, Any]]:
    """By step, of which the last line of each counts: a run that was interrupted has written some twice."""
    lines = map(json.loads, metrics.read_text(encoding="utf-8").splitlines())
    merged: dict[int, dict[str, Any]] = {}
    for line in lines:
        known = {name: value for name, value in line.items() if value is not None}
        merged[line["step"]] = merged.get(line["step"], {}) | known
    return [merged[step] for step in sorted(merged)]
