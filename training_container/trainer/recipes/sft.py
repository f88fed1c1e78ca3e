"""Supervised fine-tuning: setup → train → evaluate → export.

Columns, one kind per file: `messages` (with `tools` and tool calls where the model's template knows them), `prompt` and
`completion`, `input` and `output`, or `text` (continued pre-training). Only what the assistant says is trained.
"""

from typing import Any

from trl import SFTConfig

from trainer import distribution, memory, padding_free, stages, weights
from trainer.data import IGNORED
from trainer.job import Job
from trainer.loss import AssistantOnlyTrainer
from trainer.memory import Rung
from trainer.stages import Parts


def run(job: Job) -> str:
    """Fine-tune, leave the model in job.folders.model and return how the run ended. Raises Failure and others."""
    return stages.run(job, build)


def build(job: Job, parts: Parts, rung: Rung) -> AssistantOnlyTrainer:
    model = weights.load_model(job, parts.machine, four_bit=rung.four_bit)
    return AssistantOnlyTrainer(
        model=model,
        peft_config=weights.lora(job.config, parts.shape.layers),
        args=SFTConfig(
            max_length=None,
            padding_free=padding_free.prepare(model, memory.lengths(parts.train.dataset), rung.micro_batch),
            dataset_kwargs={"skip_prepare_dataset": True},
            **stages.arguments(job, parts, rung),
        ),
        train_dataset=parts.train.dataset,
        eval_dataset=_evened(parts.validation.dataset, rung) if parts.validation else None,
        processing_class=parts.tokenizer,
        callbacks=stages.callback_list(job, parts),
    )


def _evened(dataset: Any, rung: Rung) -> Any:
    """With rows that carry no loss at its end, so that no process repeats a row that does to fill its last batch."""
    missing = -len(dataset) % (rung.micro_batch * distribution.world_size())
    if distribution.world_size() == 1 or not missing:
        return dataset
    from datasets import Dataset, concatenate_datasets

    blank = {"input_ids": dataset[0]["input_ids"][:2], "labels": [IGNORED] * 2}
    return concatenate_datasets([dataset, Dataset.from_list([blank] * missing, features=dataset.features)])
