"""Direct preference optimization (https://arxiv.org/abs/2305.18290): setup → train → evaluate → export.

Columns: `prompt`, `chosen`, `rejected`, as texts or as messages. The reference model is the one the run begins with:
the base with the adapter switched off, or the earlier adapter that it goes on from.
"""

from typing import Any

from trl import DPOConfig, DPOTrainer

from trainer import stages
from trainer.job import Job
from trainer.memory import Rung
from trainer.preparation import Parts


def run(job: Job) -> str:
    """Fine-tune, leave the model in job.folders.model and return how the run ended. Raises Failure and others."""
    return stages.run(job, build)


def build(job: Job, parts: Parts, rung: Rung) -> "RenderedDPOTrainer":
    return RenderedDPOTrainer(
        args=DPOConfig(
            beta=job.config.hyperparameters.beta,
            max_length=None,
            **stages.arguments(job, parts, rung),
        ),
        **stages.trained(job, parts, rung),
    )


class RenderedDPOTrainer(DPOTrainer):
    """TRL's trainer for rows that are tokens already: there is one rendering path, and it is not TRL's."""

    def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
        return dataset

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Left out: the model card is the trainer's own."""
