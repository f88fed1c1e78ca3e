"""TRL's SFTTrainer with a cheaper loss where Triton is missing, which is to say on a CPU."""

from typing import Any

import torch
from trl import SFTTrainer

# Heads that scale or bend their logits; TRL's own loss knows how.
_HEAD_SETTINGS = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "output_multiplier",
    "lm_head_multiplier",
)


class AssistantOnlyTrainer(SFTTrainer):
    """On a CPU, TRL projects every position onto the vocabulary; only those with a label are needed."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if return_outputs or self.args.device.type != "cpu" or not self._has_plain_head():
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        causal = model.get_base_model()
        hidden = causal.base_model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        ).last_hidden_state[:, :-1]
        labels = inputs["labels"][:, 1:]
        labelled = labels != -100
        logits = causal.get_output_embeddings()(hidden[labelled]).float()
        targets = labels[labelled]
        loss = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["mean_token_accuracy"].append((logits.argmax(-1) == targets).float().mean().item())
        return loss / (targets.numel() if num_items_in_batch is None else num_items_in_batch)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Left out: the model card is the recipe's, written once at the end."""

    def _has_plain_head(self) -> bool:
        config = self.model.config.get_text_config()
        return all(getattr(config, name, None) is None for name in _HEAD_SETTINGS)
