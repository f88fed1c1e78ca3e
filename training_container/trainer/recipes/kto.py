"""Kahneman-Tversky optimization (https://arxiv.org/abs/2402.01306): setup → train → evaluate → export.

Columns: `prompt`, `completion` and `label` (true: wanted, false: not wanted). The reference model is the one the run
begins with. The weights of the two labels balance their numbers (equation 8 of the paper).
"""

from typing import Any

from trl import KTOConfig, KTOTrainer

from trainer import stages
from trainer.job import Job
from trainer.memory import Rung
from trainer.stages import Parts


def run(job: Job) -> str:
    """Fine-tune, leave the model in job.folders.model and return how the run ended. Raises Failure and others."""
    return stages.run(job, build)


def build(job: Job, parts: Parts, rung: Rung) -> "RenderedKTOTrainer":
    wanted = sum(parts.train.dataset["label"])
    unwanted = len(parts.train) - wanted
    return RenderedKTOTrainer(
        args=KTOConfig(
            beta=job.config.hyperparameters.beta,
            desirable_weight=max(1.0, unwanted / max(1, wanted)),
            undesirable_weight=max(1.0, wanted / max(1, unwanted)),
            max_length=None,
            **stages.arguments(job, parts, rung),
        ),
        **stages.trained(job, parts, rung),
    )


class RenderedKTOTrainer(KTOTrainer):
    """TRL's trainer for rows that are tokens already: there is one rendering path, and it is not TRL's."""

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        """Beside each completion, one of another row: the KL term compares mismatched pairs within a batch."""

        def mismatch(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
            answers = rows["completion_ids"]
            return {"KL_completion_ids": [answers[-1], *answers[:-1]]}

        size = args.per_device_train_batch_size
        return dataset.map(mismatch, batched=True, batch_size=size, keep_in_memory=True)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Left out: the model card is the trainer's own."""
