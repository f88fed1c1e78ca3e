"""Kahneman-Tversky optimization (https://arxiv.org/abs/2402.01306): setup → train → evaluate → export.

Columns: `prompt`, `completion` and `label` (true: wanted, false: not wanted). The reference model is the one the run
begins with. The weights of the two labels balance their numbers (equation 8 of the paper).
"""

from typing import Any

from trl import KTOConfig, KTOTrainer

from trainer import stages
from trainer.job import Job
from trainer.memory import Rung
from trainer.preparation import Parts


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


def mismatched(rows: int, batch_size: int) -> list[int]:
    """For each row, the row whose completion stands in for its own: the one before it in its batch, in a circle."""
    partners: list[int] = []
    for start in range(0, rows, batch_size):
        batch = list(range(start, min(start + batch_size, rows)))
        partners += [batch[-1], *batch[:-1]] if len(batch) > 1 else [max(0, start - 1)]
    return partners


class RenderedKTOTrainer(KTOTrainer):
    """TRL's trainer for rows that are tokens already: there is one rendering path, and it is not TRL's."""

    def _prepare_dataset(self, dataset: Any, processing_class: Any, args: Any, dataset_name: str) -> Any:
        """Shuffled once, since TRL takes the rows in their order; beside each completion, one of another row of its
        batch, with which the KL term compares it. A batch of one row borrows from the batch before."""
        if dataset_name == "train":
            dataset = dataset.shuffle(seed=args.seed, keep_in_memory=True)
        partners = mismatched(len(dataset), args.per_device_train_batch_size)
        return dataset.add_column("KL_completion_ids", dataset.select(partners)["completion_ids"][:])

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Left out: the model card is the trainer's own."""
