"""Odds ratio preference optimization (https://arxiv.org/abs/2403.07691): setup → train → evaluate → export.

Columns: `prompt`, `chosen`, `rejected`, as texts or as messages. There is no reference model: the chosen answer is
learned and the odds of the rejected one are pushed down in the same step.
"""

from typing import Any

import torch
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from trainer import stages
from trainer.data import IGNORED
from trainer.job import Job
from trainer.memory import Rung
from trainer.preparation import Parts


def run(job: Job) -> str:
    """Fine-tune, leave the model in job.folders.model and return how the run ended. Raises Failure and others."""
    return stages.run(job, build)


def build(job: Job, parts: Parts, rung: Rung) -> "RenderedORPOTrainer":
    return RenderedORPOTrainer(
        args=ORPOConfig(
            beta=job.config.hyperparameters.beta,
            max_length=job.config.hyperparameters.max_sequence_length,
            remove_unused_columns=False,
            **stages.arguments(job, parts, rung),
        ),
        **stages.trained(job, parts, rung),
    )


class RenderedORPOTrainer(ORPOTrainer):
    """TRL's trainer for rows that are tokens already: there is one rendering path, and it is not TRL's."""

    def tokenize_row(self, feature: dict[str, Any], model: Any = None) -> dict[str, Any]:
        prompt = feature["prompt_ids"]
        row: dict[str, Any] = {"prompt_input_ids": prompt, "prompt_attention_mask": [1] * len(prompt)}
        for side in ("chosen", "rejected"):
            answer = feature[f"{side}_ids"]
            row[f"{side}_input_ids"] = prompt + answer
            row[f"{side}_attention_mask"] = [1] * (len(prompt) + len(answer))
            row[f"{side}_labels"] = [IGNORED] * len(prompt) + answer
        return row

    def _track_num_input_tokens(self, inputs: dict[str, Any]) -> None:
        """What one step reads is spread over two inputs, which TRL leaves uncounted."""
        masks = [inputs[f"{side}_attention_mask"] for side in ("chosen", "rejected")]
        counts = torch.stack([mask.sum() for mask in masks]).to(self.args.device)
        self.state.num_input_tokens_seen += int(self.accelerator.gather(counts).sum())

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Left out: the model card is the trainer's own."""
