from pathlib import Path
from typing import Any

import pytest
import torch

from trainer import fused_lora


def adapted(dtype: torch.dtype = torch.float32, *, bias: bool = True, **settings: Any) -> Any:
    """Two linear layers under a LoRA whose B is not zero."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(24, 40, bias=bias), torch.nn.Tanh(), torch.nn.Linear(40, 8, bias=bias))
    config = LoraConfig(r=4, lora_alpha=12, target_modules=["0", "2"], init_lora_weights=False, **settings)
    return get_peft_model(model.to(dtype), config)


def outcome(model: Any, given: Any) -> tuple[Any, Any, list[Any]]:
    """Result, gradient of the input, gradients of the adapter."""
    given = given.clone().requires_grad_()
    model.zero_grad()
    result = model(given)
    result.float().square().sum().backward()
    return result, given.grad, [parameter.grad for parameter in model.parameters() if parameter.requires_grad]


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"bias": False}], ids=str)
def test_the_fused_layer_gives_pefts_result_and_gradients(settings: dict[str, Any]) -> None:
    model, given = adapted(**settings), torch.randn(3, 5, 24)
    expected = outcome(model, given)
    assert fused_lora.enable(model) == 2
    fused = outcome(model, given)
    torch.testing.assert_close(fused, expected, rtol=1e-4, atol=1e-4)


def test_a_half_precision_base_with_a_full_precision_adapter_stays_close_to_peft() -> None:
    model, given = adapted(torch.bfloat16), torch.randn(3, 5, 24).bfloat16()
    exact = outcome(adapted(), given.float())
    expected = outcome(model, given)
    assert fused_lora.enable(model) == 2
    fused = outcome(model, given)
    assert [gradient.dtype for gradient in fused[2]] == [torch.float32] * 4
    assert fused[0].dtype == torch.bfloat16
    for got, peft, true in zip(
        [*fused[:2], *fused[2]], [*expected[:2], *expected[2]], [*exact[:2], *exact[2]], strict=True
    ):
        assert (got.float() - true).norm() <= 2 * (peft.float() - true).norm() + 1e-3 * true.norm()


def test_autocast_computes_in_its_type() -> None:
    model, given = adapted(torch.bfloat16), torch.randn(3, 5, 24)
    fused_lora.enable(model)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(given).dtype == torch.bfloat16
        outcome(model, given)


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"lora_dropout": 0.1}, {"lora_bias": True}], ids=str)
def test_layers_of_another_kind_are_left_to_peft(settings: dict[str, Any]) -> None:
    model = adapted(**settings)
    assert fused_lora.enable(model) == 0
    assert not any("forward" in layer.__dict__ for layer in model.modules())


def test_the_adapter_can_still_be_switched_off_merged_and_handed_back_to_peft() -> None:
    model, given = adapted(), torch.randn(2, 24)
    base = [
        layer.get_base_layer()
        for layer in model.modules()
        if hasattr(layer, "get_base_layer") and hasattr(layer, "lora_A")
    ]
    expected = model(given)
    fused_lora.enable(model)
    with model.disable_adapter():
        torch.testing.assert_close(model(given), base[1](torch.tanh(base[0](given))))
    model.merge_adapter()
    torch.testing.assert_close(model(given), expected)
    model.unmerge_adapter()
    torch.testing.assert_close(model(given), expected)


def test_a_fused_model_trains_under_activation_checkpointing(tiny: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    gradients = []
    for fused in (False, True):
        torch.manual_seed(0)
        base = AutoModelForCausalLM.from_pretrained(tiny, dtype="float32")
        model = get_peft_model(
            base, LoraConfig(target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
        )
        if fused:
            assert fused_lora.enable(model) == 7 * base.config.num_hidden_layers
            base.gradient_checkpointing_enable()
            model.enable_input_require_grads()
        ids = torch.arange(10, 30)[None]
        model.train()
        model(input_ids=ids, labels=ids).loss.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.requires_grad]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-6)


class Attention(torch.nn.Module):
    """Queries, keys and values of one tensor; `values_of` another, as in cross-attention."""

    def __init__(self, sizes: tuple[int, int, int] = (40, 16, 16)) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (torch.nn.Linear(24, size) for size in sizes)

    def forward(self, x: Any, values_of: Any = None) -> Any:
        return torch.cat([self.q_proj(x), self.k_proj(x), self.v_proj(x if values_of is None else values_of)], -1)


def attentive() -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    pattern = {"k_proj": 2}
    config = LoraConfig(
        r=4, lora_alpha=12, rank_pattern=pattern, target_modules=["q_proj", "k_proj", "v_proj"], init_lora_weights=False
    )
    return get_peft_model(Attention(), config)


def test_layers_of_one_input_are_computed_at_once_with_pefts_result_and_gradients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, given = attentive(), torch.randn(3, 5, 24)
    expected, calls = outcome(model, given), []
    assert fused_lora.enable(model) == 3
    compute = fused_lora._computed
    monkeypatch.setattr(fused_lora, "_computed", lambda layers, x: calls.append(len(layers)) or compute(layers, x))
    for _ in range(2):
        torch.testing.assert_close(outcome(model, given), expected, rtol=1e-4, atol=1e-4)
    assert calls == [3, 3]


def test_a_layer_that_gets_another_input_than_its_siblings_computes_alone() -> None:
    model, given, other = attentive(), torch.randn(3, 5, 24), torch.randn(3, 5, 24)
    expected = model(given, other)
    fused_lora.enable(model)
    for _ in range(2):
        torch.testing.assert_close(model(given, other), expected, rtol=1e-4, atol=1e-4)


def test_a_pass_that_was_broken_off_leaves_nothing_for_the_next() -> None:
    model, given, other = attentive(), torch.randn(2, 24), torch.randn(2, 24)
    expected = model(other)
    fused_lora.enable(model)
    model.base_model.model.q_proj(given)
    torch.testing.assert_close(model(other), expected, rtol=1e-4, atol=1e-4)
