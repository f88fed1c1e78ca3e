import json
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainer import loss


def scores(head: torch.nn.Linear, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[Any, Any, Any]:
    hidden = hidden.clone().requires_grad_()
    total, correct = loss.score(head, hidden, targets)
    (total / 3).backward()
    return total.item(), correct.item(), hidden.grad


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_scoring_in_chunks_gives_the_loss_and_gradient_of_plain_cross_entropy(
    monkeypatch: pytest.MonkeyPatch, frozen: bool, bias: bool
) -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 50, bias=bias).requires_grad_(not frozen)
    hidden, targets = torch.randn(100, 16), torch.randint(50, (100,))
    plain = hidden.clone().requires_grad_()
    expected = torch.nn.functional.cross_entropy(head(plain), targets, reduction="sum")
    (expected / 3).backward()
    for chunk in (7, 1_024):
        monkeypatch.setattr(loss, "CHUNK", chunk)
        total, correct, gradient = scores(head, hidden, targets)
        assert total == pytest.approx(expected.item())
        assert correct == (head(hidden).argmax(-1) == targets).sum()
        torch.testing.assert_close(gradient, plain.grad)


def test_a_frozen_head_in_half_precision_is_scored_as_exactly_as_its_type_allows() -> None:
    torch.manual_seed(0)
    head, targets = torch.nn.Linear(64, 5_000).requires_grad_(False).bfloat16(), torch.randint(5_000, (300,))
    hidden = 4 * torch.randn(300, 64).bfloat16()
    exact = hidden.double().requires_grad_()
    logits = torch.nn.functional.linear(exact, head.weight.double(), head.bias.double())
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    (expected / 3).backward()
    total, _, gradient = scores(head, hidden, targets)
    assert total == pytest.approx(expected.item(), rel=1e-4)
    assert (gradient.double() - exact.grad).norm() < 5e-3 * exact.grad.norm()


def test_a_trained_head_gets_its_gradient_too() -> None:
    torch.manual_seed(0)
    head, hidden, targets = torch.nn.Linear(16, 50), torch.randn(9, 16), torch.randint(50, (9,))
    torch.nn.functional.cross_entropy(head(hidden), targets, reduction="sum").backward()
    expected = head.weight.grad.clone()
    head.zero_grad()
    loss.score(head, hidden, targets)[0].backward()
    torch.testing.assert_close(head.weight.grad, expected)


def test_a_batch_without_labels_has_a_loss_of_zero_that_can_be_differentiated() -> None:
    head, hidden = torch.nn.Linear(16, 50).requires_grad_(False), torch.randn(0, 16, requires_grad=True)
    total, correct = loss.score(head, hidden, torch.zeros(0, dtype=torch.long))
    total.backward()
    assert (total.item(), correct.item()) == (0, 0)


ROWS = {
    "input_ids": [[5, 6, 7, 8], [9, 10, 11], [12, 13, 14, 15, 16, 17]],
    "labels": [[-100, 6, 7, 8], [-100, -100, 11], [12, 13, 14, 15, 16, 17]],
}


def trainer(kind: Any, tiny: Any, folder: Any, **settings: Any) -> Any:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig

    return kind(
        model=AutoModelForCausalLM.from_pretrained(tiny),
        args=SFTConfig(
            output_dir=str(folder),
            use_cpu=True,
            bf16=False,
            report_to="none",
            disable_tqdm=True,
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            **({"save_strategy": "no", "logging_steps": 1} | settings),
        ),
        train_dataset=Dataset.from_dict(ROWS),
        processing_class=AutoTokenizer.from_pretrained(tiny),
        peft_config=LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear"),
    )


def test_training_reports_the_losses_and_gradient_norms_of_trl_itself(tiny: Any, tmp_path: Any) -> None:
    from trl import SFTTrainer

    histories = []
    for kind in (loss.AssistantOnlyTrainer, SFTTrainer):
        made = trainer(kind, tiny, tmp_path, max_steps=4, per_device_train_batch_size=1, gradient_accumulation_steps=2)
        made.train()
        histories.append([line for line in made.state.log_history if "loss" in line])
    ours, theirs = histories
    assert len(ours) == 4
    for name in ("loss", "grad_norm"):
        assert [line[name] for line in ours] == pytest.approx([line[name] for line in theirs], rel=1e-4)


class Reads(TorchDispatchMode):
    """Counts the values that Python asks of tensors outside of a trainer's loss: on a GPU, each waits for all work."""

    def __init__(self, made: Any) -> None:
        super().__init__()
        self.count, self._in_loss, self._compute_loss = 0, False, made.compute_loss
        made.compute_loss = self._watched

    def _watched(self, *args: Any, **kwargs: Any) -> Any:
        self._in_loss = True
        try:
            return self._compute_loss(*args, **kwargs)
        finally:
            self._in_loss = False

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += function.__name__.startswith("_local_scalar_dense") and not self._in_loss
        return function(*args, **(kwargs or {}))


def test_steps_without_a_report_wait_for_the_device_in_the_loss_alone(tiny: Any, tmp_path: Any) -> None:
    counts = []
    for steps in (1, 3):
        made = trainer(
            loss.AssistantOnlyTrainer,
            tiny,
            tmp_path,
            max_steps=steps,
            per_device_train_batch_size=1,
            logging_steps=100,
            logging_nan_inf_filter=False,
            include_num_input_tokens_seen="non_padding",
        )
        with Reads(made) as reads:
            made.train()
        counts.append(reads.count)
    assert counts[0] == counts[1]
    assert made.state.num_input_tokens_seen == sum(map(len, ROWS["input_ids"]))


def test_a_checkpoint_between_two_reports_knows_all_tokens_before_it(tiny: Any, tmp_path: Any) -> None:
    often = {"save_strategy": "steps", "save_steps": 3, "logging_steps": 100}
    tokens = {"max_steps": 6, "per_device_train_batch_size": 1, "include_num_input_tokens_seen": "non_padding"}
    made = trainer(loss.AssistantOnlyTrainer, tiny, tmp_path, **often, **tokens)
    made.train()
    states = [json.loads((tmp_path / f"checkpoint-{step}" / "trainer_state.json").read_text()) for step in (3, 6)]
    assert [state["num_input_tokens_seen"] for state in states] == [13, 26]


def test_the_evaluations_loss_is_the_mean_over_tokens_whatever_the_batches(tiny: Any, tmp_path: Any) -> None:
    from trl import SFTTrainer

    together = trainer(SFTTrainer, tiny, tmp_path, per_device_eval_batch_size=3)
    expected = together.evaluate(together.train_dataset)
    for size in (1, 2, 3):
        made = trainer(loss.AssistantOnlyTrainer, tiny, tmp_path, per_device_eval_batch_size=size)
        found = made.evaluate(made.train_dataset)
        assert found["eval_loss"] == pytest.approx(expected["eval_loss"], rel=1e-5)
        assert found["eval_mean_token_accuracy"] == pytest.approx(expected["eval_mean_token_accuracy"])
        assert made.state.log_history[-1]["eval_loss"] == found["eval_loss"]


def test_every_module_trains_as_activation_checkpointing_needs_it(tiny: Any, tmp_path: Any) -> None:
    made = trainer(loss.AssistantOnlyTrainer, tiny, tmp_path, max_steps=3)
    modes, step = [], made.training_step

    def training_step(*args: Any, **kwargs: Any) -> Any:
        result = step(*args, **kwargs)
        modes.append({module.training for module in made.model.modules()})
        return result

    # Weights come in evaluation mode, the adapter around them in training mode.
    assert {module.training for module in made.model.modules()} == {True, False}
    made.training_step = training_step
    made.train()
    assert modes == [{True}] * 3
    walked, module = [], made.model.base_model
    module.train = lambda mode=True: walked.append(mode) or module
    for change in (made.model.train, made.model.eval, made.model.train, made.model.train):
        change()
    assert walked == [False, True]


def test_a_model_whose_head_bends_the_logits_is_left_to_trl(tiny: Any) -> None:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(tiny)
    assert loss._has_plain_head(config)
    config.final_logit_softcapping = 30.0
    assert not loss._has_plain_head(config)
