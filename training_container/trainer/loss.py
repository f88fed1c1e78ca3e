"""TRL's SFTTrainer with a loss that scores labelled positions only, in plain PyTorch.

TRL does the same with a Triton kernel, which needs a C compiler at run time; where Triton is missing, as on a CPU, it
projects every position onto the vocabulary: 60 % more work per step on short answers.
"""

import functools
import types
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint
from trl.trainer.sft_trainer import SFTTrainer

from trainer import kernels
from trainer.evened import Filled, missing, with_blanks, without_blanks

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
    """For a causal model, under a PEFT adapter or not, and for batches with padding on the right or without any.

    Several processes fill their last batches with rows that carry no loss.
    """

    train_dataset: Any
    eval_dataset: Any
    data_collator: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._scores_labels_only = _has_plain_head(self.model.config) and not self.aux_loss_enabled
        if self._scores_labels_only:
            add_labelled_head(_causal(self.model))
        _walk_only_to_change(self.model)
        # Tokens of micro-batches, counted on the device and not yet in the trainer's state.
        self._unread: list[Any] = []
        self._rows = len(self.train_dataset)
        self._missing = missing(self._rows, self.args.per_device_train_batch_size)
        if self._missing:
            self.train_dataset = with_blanks(self.train_dataset, 1)
        # PyTorch takes milliseconds to read a long row from Python's lists, which a GPU would wait for.
        self.train_dataset = self.train_dataset.with_format("numpy")
        if held_out := missing(len(self.eval_dataset or ()), self.args.per_device_eval_batch_size):
            self.eval_dataset = with_blanks(self.eval_dataset, held_out)
        if self._missing or held_out:
            self.data_collator = without_blanks(self.data_collator)

    def get_train_dataloader(self) -> Any:
        loader = super().get_train_dataloader()
        if self._missing:
            batches = loader.batch_sampler.batch_sampler
            batches.sampler = Filled(batches.sampler, blank=self._rows, total=self._rows + self._missing)
        return loader

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        # The blank row behind them is not one to shuffle.
        return super()._get_train_sampler(range(self._rows))

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if return_outputs or not self._scores_labels_only:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        # Padding stands behind a row's last token, which causal attention hides already.
        seen = {name: value for name, value in inputs.items() if name != "attention_mask"}
        # Through the outermost module, so that DDP and FSDP see the forward pass.
        total, correct, count = model(**seen, labelled_head=True)
        self._count_scores(total, correct, count)
        if num_items_in_batch is None:
            return total / count.clamp(min=1)
        # Counts the labels of all processes, whose gradients are averaged afterwards.
        return total / torch.as_tensor(num_items_in_batch, device=total.device) * self.accelerator.num_processes

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Left out: the model card is the recipe's, written once at the end."""

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the token accuracy, and makes the evaluation's loss the mean over tokens instead of over batches."""
        self._add_up_tokens()
        mode = "train" if self.model.training else "eval"
        scores = self._metrics[mode].pop("scores", None)
        if scores:
            # One transfer from the GPU and one exchange between processes per report, none per step.
            total, correct, count = self.accelerator.reduce(torch.stack(scores).sum(0), reduction="sum").tolist()
            self._metrics[mode]["mean_token_accuracy"].append(correct / max(1, count))
            if "eval_loss" in logs:
                logs["eval_loss"] = total / max(1, count)
        super().log(logs, start_time)

    def _count_scores(self, total: Any, correct: Any, count: Any) -> None:
        mode = "train" if self.model.training else "eval"
        self._metrics[mode]["scores"].append(torch.stack([total.detach(), correct, count]).double())

    def floating_point_ops(self, inputs: Any) -> int:
        """Not counted: transformers walks through all modules for it, after every micro-batch."""
        return 0

    def _track_num_input_tokens(self, inputs: Any) -> None:
        """Leaves the number on the device: a GPU that is asked for it after every pass idles until the next."""
        if self.args.include_num_input_tokens_seen == "no":
            return
        # Without a mask there is no padding: transformers would take every end-of-turn token for it where the two are
        # one token.
        mask = inputs.get("attention_mask")
        tokens = inputs["input_ids"].numel() if mask is None else mask.sum()
        self._unread.append((inputs["labels"] != -100).any() * tokens)

    def _add_up_tokens(self) -> None:
        if self._unread:
            tokens = self.accelerator.reduce(torch.stack(self._unread).sum(), reduction="sum")
            self._unread.clear()
            self.state.num_input_tokens_seen += int(tokens)

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        self._add_up_tokens()
        super()._save_checkpoint(*args, **kwargs)


def _walk_only_to_change(model: Any) -> None:
    """Let `model.train(mode)` return at once where it is repeated: transformers asks before every micro-batch, and
    thousands of modules take a GPU's idle milliseconds."""
    walk, last = model.train, None

    def train(mode: bool = True) -> Any:
        nonlocal last
        # Not by `model.training` alone: under a new adapter in training mode lie weights that came in evaluation mode.
        if mode == last == model.training:
            return model
        last = mode
        return walk(mode)

    model.train = train


def _causal(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "peft_config") and hasattr(model, "get_base_model") else model


def _has_plain_head(config: Any) -> bool:
    text = config.get_text_config()
    return all(getattr(text, name, None) is None for name in _HEAD_SETTINGS)


def add_labelled_head(causal: Any) -> None:
    """Let `causal(input_ids=…, labels=…, labelled_head=True)` return the sum of the losses, the number of tokens
    guessed right and the number of labels, as tensors without a shape; without `labelled_head` nothing changes."""
    plain = causal.forward

    # The signature stays: transformers checks the arguments of `generate` by it.
    @functools.wraps(type(causal).forward)
    def forward(causal: Any, *args: Any, labelled_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        if not labelled_head:
            return plain(*args, **kwargs) if labels is None else plain(*args, labels=labels, **kwargs)
        hidden = causal.base_model(*args, **{**kwargs, "use_cache": False}).last_hidden_state[:, :-1]
        head = causal.get_output_embeddings()
        # A model that is spread over GPUs can have its head on another one than its last layer.
        device = head.weight.device
        labels = labels[:, 1:].to(device)
        labelled = labels != -100
        targets = labels[labelled]
        total, correct = score(head, hidden.to(device)[labelled], targets)
        return total, correct, torch.as_tensor(targets.numel(), device=device)

    causal.forward = types.MethodType(forward, causal)


def score(head: Any, hidden: Any, targets: Any) -> tuple[Any, Any]:
    """Sum of the losses and number of tokens guessed right, for hidden states (N, size) and targets (N)."""
    trained = any(parameter.requires_grad for parameter in head.parameters())
    if type(head) is torch.nn.Linear and not trained and torch.is_grad_enabled():
        return FrozenHeadLoss.apply(hidden, head.weight, head.bias, targets)
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


class FrozenHeadLoss(torch.autograd.Function):
    """Cross entropy under a head that is not trained: the gradient of a chunk's hidden states is computed while its
    logits are there, so that they are neither kept nor computed twice (Liger Kernel, https://arxiv.org/abs/2410.10989,
    section 3.2)."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, bias: Any, targets: Any) -> tuple[Any, Any]:
        with torch.autocast(hidden.device.type, enabled=False):
            if hidden.is_cuda and len(targets) and kernels.there():
                total, correct, gradient = _by_liger(hidden, weight, bias, targets)
            else:
                total, correct, gradient = _by_chunks(hidden, weight, bias, targets)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(correct)
        return total, correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, for_total: Any, _: Any) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * for_total.to(gradient.dtype), None, None, None


def _by_liger(hidden: Any, weight: Any, bias: Any, targets: Any) -> tuple[Any, Any, Any]:
    """Loss, hits and gradient of the hidden states: one kernel turns a chunk's logits into their gradient in place."""
    from liger_kernel.ops.fused_linear_cross_entropy import fused_linear_cross_entropy_forward

    # Chunks of twice as many logits as there are hidden states: of 1,024 positions with 16,384 of 4,096 numbers.
    total, _, accuracy, _, gradient, _, _ = fused_linear_cross_entropy_forward(
        hidden.to(weight.dtype),
        weight,
        targets,
        bias=bias,
        reduction="sum",
        return_token_accuracy=True,
        compute_gradients=True,
        weight_requires_grad=False,
        chunk_mem_const=2,
    )
    return total, (accuracy * len(targets)).round().long(), gradient.to(hidden.dtype)


def _by_chunks(hidden: Any, weight: Any, bias: Any, targets: Any) -> tuple[Any, Any, Any]:
    """The same in plain PyTorch."""
    gradient = torch.empty_like(hidden)
    total = hidden.new_zeros((), dtype=torch.float32)
    correct = targets.new_zeros(())
    for start in range(0, len(targets), CHUNK):
        part = slice(start, start + CHUNK)
        loss, right = _differentiate(hidden[part], weight, bias, targets[part], gradient[part])
        total += loss
        correct += right
    return total, correct, gradient


def _differentiate(hidden: Any, weight: Any, bias: Any, targets: Any, gradient: Any) -> tuple[Any, Any]:
    """Loss and hits of a chunk; writes the gradient of its hidden states, (N, size)."""
    logits = torch.nn.functional.linear(hidden.to(weight.dtype), weight, bias)
    logs = logits.log_softmax(-1, dtype=torch.float32)
    correct = (logs.argmax(-1) == targets).sum()
    rows = targets[:, None]
    at_targets = logs.gather(1, rows)
    # softmax minus one at the target, in the memory of its logarithm
    slopes = logs.exp_().scatter_(1, rows, at_targets.expm1())
    gradient.copy_(slopes.to(weight.dtype) @ weight)
    return -at_targets.sum(), correct
