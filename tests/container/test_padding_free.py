"""Rows that follow each other in one sequence must train like rows of a padded batch."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trainer import attention, padding_free
from trainer.loss import AssistantOnlyTrainer

MIXED = (5, 40, 1, 17, 3, 64, 22, 9)


def load(path: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(path, dtype="float32")


def rows(lengths: tuple[int, ...] = MIXED) -> Any:
    """Random ids; every row longer than one token has labels, the first token among them as in plain text."""
    from datasets import Dataset

    rng = np.random.default_rng(7)
    ids = [rng.integers(5, 1000, length).tolist() for length in lengths]
    labels = [row if index % 2 else [-100] * (len(row) // 2) + row[len(row) // 2 :] for index, row in enumerate(ids)]
    return Dataset.from_dict({"input_ids": ids, "labels": labels})


def trainer(tiny: Path, folder: Path, *, flat: bool, prepare: bool = True, **settings: Any) -> AssistantOnlyTrainer:
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTConfig

    model = load(tiny)
    if flat and prepare:
        assert padding_free.prepare(model, MIXED, 8)
    made = AssistantOnlyTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(folder),
            use_cpu=True,
            bf16=False,
            activation_checkpointing=False,
            report_to="none",
            disable_tqdm=True,
            max_length=None,
            padding_free=flat,
            dataset_kwargs={"skip_prepare_dataset": True},
            include_num_input_tokens_seen="non_padding",
            save_strategy="no",
            **settings,
        ),
        train_dataset=rows(),
        processing_class=AutoTokenizer.from_pretrained(tiny),
        peft_config=LoraConfig(task_type="CAUSAL_LM", target_modules="all-linear", init_lora_weights=False),
    )
    return made


def loss_and_gradient(made: AssistantOnlyTrainer) -> tuple[float, Any, Any]:
    """Of one batch of all rows, with the number of labels that the trainer itself divides by."""
    batch = made.data_collator(list(made.train_dataset))
    items = made._get_num_items_in_batch([batch], torch.device("cpu"))
    made.model.train()
    loss = made.compute_loss(made.model, batch, num_items_in_batch=items)
    loss.backward()
    parameters = [parameter for parameter in made.model.parameters() if parameter.requires_grad]
    return loss.item(), torch.cat([parameter.grad.flatten() for parameter in parameters]), items


@pytest.mark.parametrize("prepare", [True, False], ids=["attention by row", "the mask of transformers"])
def test_rows_without_padding_give_the_loss_and_gradient_of_padded_rows(
    tiny: Path, tmp_path: Path, prepare: bool
) -> None:
    padded = loss_and_gradient(trainer(tiny, tmp_path, flat=False))
    flat = loss_and_gradient(trainer(tiny, tmp_path, flat=True, prepare=prepare))
    assert flat[0] == pytest.approx(padded[0], abs=1e-5)
    assert flat[2] == padded[2]
    assert torch.allclose(flat[1], padded[1], rtol=1e-3, atol=1e-6)


def test_training_without_padding_reports_what_training_with_it_reports(tiny: Path, tmp_path: Path) -> None:
    reports = []
    for flat in (False, True):
        made = trainer(tiny, tmp_path, flat=flat, max_steps=3, per_device_train_batch_size=3, logging_steps=1)
        made.train()
        made.evaluate(rows())
        reports.append((made.state.num_input_tokens_seen, made.state.log_history))
    (padded_tokens, padded), (flat_tokens, flat) = reports
    assert flat_tokens == padded_tokens
    for name in ("loss", "grad_norm", "mean_token_accuracy", "eval_loss", "eval_mean_token_accuracy"):
        values = [[line[name] for line in history if name in line] for history in (padded, flat)]
        assert values[0]
        assert values[1] == pytest.approx(values[0], rel=2e-4)


def test_a_model_that_would_mix_rows_is_found_out_and_keeps_its_attention(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(tiny)
    assert padding_free.keeps_rows_apart(model)

    def mixing(module: Any, *states: Any, **_: Any) -> tuple[Any, None]:
        result = torch.nn.functional.scaled_dot_product_attention(*states[:3], is_causal=True, enable_gqa=True)
        return result.transpose(1, 2), None

    monkeypatch.setattr(attention, "attention", mixing)
    assert not padding_free.prepare(model, MIXED, 4)
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize(
    ("lengths", "batch_size", "expected"), [([50] * 9, 4, False), (MIXED, 1, False), (MIXED, 4, True)]
)
def test_padding_is_left_out_where_there_is_some(lengths: Any, batch_size: int, expected: bool) -> None:
    assert padding_free.worthwhile(lengths, batch_size) == expected


def test_the_share_of_padding_is_counted_per_batch() -> None:
    assert padding_free.padding_share([10, 10, 10], 3) == 0
    assert padding_free.padding_share([10, 20, 30], 3) == pytest.approx(1 / 3)
    assert padding_free.padding_share([], 3) == 0


@pytest.fixture
def varlen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A stand-in that checks what PyTorch's varlen_attn demands and computes with a mask of all by all positions."""
    calls: list[dict[str, Any]] = []

    def varlen_attn(
        query: Any, key: Any, value: Any, cu_seq_q: Any, cu_seq_k: Any, max_q: int, max_k: int, *, scale: Any,
        window_size: tuple[int, int],
    ) -> Any:  # fmt: skip
        assert query.shape == key.shape == value.shape
        assert cu_seq_q.dtype == torch.int32
        assert (cu_seq_q[0], cu_seq_q[-1]) == (0, len(query))
        assert max_q == max_k == cu_seq_q.diff().max()
        assert window_size == (-1, 0)
        row = torch.bucketize(torch.arange(len(query)), cu_seq_q[1:], right=True)
        allowed = (row[:, None] == row[None]).tril()
        calls.append({"rows": len(cu_seq_q) - 1})
        heads = [states.transpose(0, 1) for states in (query, key, value)]
        return torch.nn.functional.scaled_dot_product_attention(*heads, attn_mask=allowed, scale=scale).transpose(0, 1)

    monkeypatch.setattr(attention, "_kernel", lambda query: varlen_attn)
    return calls


def test_the_varlen_kernel_gets_every_row_and_gives_the_same_loss(
    tiny: Path, tmp_path: Path, varlen: list[dict[str, Any]]
) -> None:
    padded = loss_and_gradient(trainer(tiny, tmp_path, flat=False))
    made = trainer(tiny, tmp_path, flat=True)
    varlen.clear()
    flat = loss_and_gradient(made)
    assert [call["rows"] for call in varlen] == [len(MIXED)] * made.model.config.num_hidden_layers
    assert flat[0] == pytest.approx(padded[0], abs=1e-5)
    assert torch.cosine_similarity(flat[1], padded[1], dim=0) >= 0.999


def test_the_varlen_kernel_has_the_arguments_that_are_passed() -> None:
    import inspect

    from torch.nn.attention.varlen import varlen_attn

    ours = list(inspect.signature(attention.by_row).parameters)
    theirs = inspect.signature(varlen_attn).parameters
    assert ours[:7] == list(theirs)[:7]
    assert set(ours) <= set(theirs)


def test_generating_from_a_prepared_model_gives_the_same_text(tiny: Path) -> None:
    prompt = {"input_ids": torch.tensor([[2, 2, 7, 8, 9], [5, 6, 7, 8, 9]]), "attention_mask": torch.ones(2, 5).long()}
    prompt["attention_mask"][0, :2] = 0
    model = load(tiny)
    before = model.generate(**prompt, max_new_tokens=8, do_sample=False)
    assert padding_free.prepare(model, MIXED, 4)
    assert torch.equal(model.generate(**prompt, max_new_tokens=8, do_sample=False), before)


def test_positions_alone_tell_rows_apart_too(tiny: Path) -> None:
    model = load(tiny)
    assert attention.use(model)
    flat = padding_free.flattened([torch.arange(5, 12), torch.arange(20, 31)])
    given = {name: flat[name] for name in ("input_ids", "position_ids")}
    with torch.no_grad():
        expected, found = (model(**batch).logits for batch in (flat, given))
    assert torch.equal(found, expected)
