"""TRL's SFTTrainer with a loss that scores labelled positions only, in plain PyTorch.

TRL does the same with a Triton kernel, which needs a C compiler at run time; where Triton is missing, as on a CPU, it
projects every position onto the vocabulary: 60 % more work per step on short answers.
"""

from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from trl import SFTTrainer

# Positions scored at a time: with a vocabulary of 128,000, half a gigabyte of logits.
CHUNK = 1_024
# Heads that scale or bend their logits; TRL's own loss knows how.
_HEAD_SETTINGS = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
    "lm_head_multiplier",
)


class AssistantOnlyTrainer(SFTTrainer):
    """For a causal model under a PEFT adapter."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if return_outputs or not self._has_plain_head():
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        causal = self.accelerator.unwrap_model(model).get_base_model()
        head = causal.get_output_embeddings()
        hidden = causal.base_model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        ).last_hidden_state[:, :-1]
        labels = inputs["labels"][:, 1:].to(hidden.device)
        labelled = labels != -100
        # A model that is spread over GPUs can have its head on another one than its last layer.
        device = head.weight.device
        targets = labels[labelled].to(device)
        total, correct = _score(head, hidden[labelled].to(device), targets)
        count = max(1, targets.numel())
        metrics = self._metrics["train" if self.model.training else "eval"]
        metrics["mean_token_accuracy"].append(correct.item() / count)
        if num_items_in_batch is None:
            return total / count
        # Counts the labels of all processes, whose gradients are averaged afterwards.
        return total / torch.as_tensor(num_items_in_batch, device=device) * self.accelerator.num_processes

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Left out: the model card is the recipe's, written once at the end."""

    def _has_plain_head(self) -> bool:
        config = self.model.config.get_text_config()
        return all(getattr(config, name, None) is None for name in _HEAD_SETTINGS)


def _score(head: Any, hidden: Any, targets: Any) -> tuple[Any, Any]:
    """Sum of the losses and number of tokens guessed right."""
    chunks = list(zip(hidden.split(CHUNK), targets.split(CHUNK), strict=True))
    if len(chunks) == 1:
        return _score_chunk(head, hidden, targets)
    # Logits are computed again on the way back instead of being kept, so only one chunk's exist at a time.
    scores = [checkpoint(_score_chunk, head, *chunk, use_reentrant=False) for chunk in chunks]
    losses, correct = zip(*scores, strict=True)
    return torch.stack(losses).sum(), torch.stack(correct).sum()


def _score_chunk(head: Any, hidden: Any, targets: Any) -> tuple[Any, Any]:
    logits = head(hidden).float()
    loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    return loss, (logits.argmax(-1) == targets).sum()
