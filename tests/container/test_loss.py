from typing import Any

import pytest
import torch

from trainer import loss


def scores(head: torch.nn.Linear, hidden: torch.Tensor, targets: torch.Tensor) -> tuple[Any, Any, Any]:
    hidden = hidden.clone().requires_grad_()
    total, correct = loss._score(head, hidden, targets)
    total.backward()
    return total.item(), correct.item(), hidden.grad


def test_scoring_in_chunks_gives_the_loss_and_gradient_of_scoring_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    head = torch.nn.Linear(16, 50, bias=False)
    hidden, targets = torch.randn(100, 16), torch.randint(50, (100,))
    total, correct, gradient = scores(head, hidden, targets)
    monkeypatch.setattr(loss, "CHUNK", 7)
    chunked = scores(head, hidden, targets)
    assert chunked[:2] == (pytest.approx(total), correct)
    assert torch.allclose(chunked[2], gradient, atol=1e-6)


def test_the_loss_is_that_of_trl_itself(tiny: Any, tmp_path: Any) -> None:
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = Dataset.from_dict({"input_ids": [[5, 6, 7, 8], [9, 10, 11]], "labels": [[-100, 6, 7, 8], [-100, -100, 11]]})

    def evaluated(kind: type[SFTTrainer]) -> dict[str, float]:
        trainer = kind(
            model=AutoModelForCausalLM.from_pretrained(tiny),
            args=SFTConfig(
                output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", disable_tqdm=True, max_length=None
            ),
            train_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(tiny),
            peft_config=LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear"),
        )
        return trainer.evaluate(rows)

    ours, theirs = evaluated(loss.AssistantOnlyTrainer), evaluated(SFTTrainer)
    assert ours["eval_loss"] == pytest.approx(theirs["eval_loss"], rel=1e-5)
    assert ours["eval_mean_token_accuracy"] == pytest.approx(theirs["eval_mean_token_accuracy"])
