"""Where everything lies under the root folder: SageMaker's layout, which a local run copies."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Folders:
    """Paths under `root` (/opt/ml on SageMaker)."""

    root: Path

    @property
    def job_config(self) -> Path:
        return self.root / "input" / "data" / "config" / "job.json"

    @property
    def base_model(self) -> Path:
        return self.root / "input" / "data" / "model"

    @property
    def adapter(self) -> Path:
        """The adapter that the run goes on from, if it does."""
        return self.root / "input" / "data" / "adapter"

    @property
    def train(self) -> Path:
        return self.root / "input" / "data" / "train"

    @property
    def validation(self) -> Path:
        return self.root / "input" / "data" / "validation"

    @property
    def tasks(self) -> Path:
        """lm-eval task files."""
        return self.root / "input" / "data" / "tasks"

    @property
    def resources(self) -> Path:
        """SageMaker's list of the hosts of this job."""
        return self.root / "input" / "config" / "resourceconfig.json"

    @property
    def checkpoints(self) -> Path:
        """Copied to S3 while the job runs, and back before a restart."""
        return self.root / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.checkpoints / "metrics.jsonl"

    @property
    def wandb(self) -> Path:
        """The offline run of Weights & Biases, where the job names one."""
        return self.checkpoints / "wandb.tar.gz"

    @property
    def result(self) -> Path:
        """How the last run ended."""
        return self.checkpoints / "result.json"

    @property
    def traceback(self) -> Path:
        return self.checkpoints / "failure.json"

    @property
    def clock(self) -> Path:
        """Seconds used by this attempt so far, so that a relaunch does not start a fresh budget."""
        return self.checkpoints / "clock.json"

    @property
    def model(self) -> Path:
        """What SageMaker uploads when the job ends."""
        return self.root / "model"

    @property
    def failure(self) -> Path:
        """What SageMaker puts into the job's FailureReason."""
        return self.root / "output" / "failure"
