"""Supervised fine-tuning: setup → train → evaluate → export.

Columns, one kind per file: `messages` (with `tools` and tool calls where the model's template knows them), `prompt` and
`completion`, `input` and `output`, or `text` (continued pre-training). Only what the assistant says is trained.
"""

from trl import SFTConfig

from trainer import memory, padding_free, stages
from trainer.job import Job
from trainer.loss import AssistantOnlyTrainer
from trainer.memory import Rung
from trainer.preparation import Parts


def run(job: Job) -> str:
    """Fine-tune, leave the model in job.folders.model and return how the run ended. Raises Failure and others."""
    return stages.run(job, build)


def build(job: Job, parts: Parts, rung: Rung) -> AssistantOnlyTrainer:
    common = stages.trained(job, parts, rung)
    lengths = memory.lengths(parts.train.dataset)
    return AssistantOnlyTrainer(
        args=SFTConfig(
            max_length=None,
            padding_free=padding_free.prepare(common["model"], lengths, rung.micro_batch),
            dataset_kwargs={"skip_prepare_dataset": True},
            **stages.arguments(job, parts, rung),
        ),
        **common,
    )
