"""LoRA's linear layer as one operation: y = x Wᵀ + b + s (x Aᵀ) Bᵀ, https://arxiv.org/abs/2106.09685 equation 3.

PEFT's own forward makes a copy of x in the adapter's type, keeps it for the way back, and adds the two parts in
tensors of their own. Here x is kept once, in the type of the frozen weight, and the adapter's part is added in place.
"""

import types
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear


class LoraLinear(torch.autograd.Function):
    """x (…, in), weight (out, in) and bias (out) frozen, a (rank, in), b (out, rank)."""

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, a: Any, b: Any, scale: float) -> Any:
        flat = x.reshape(-1, x.shape[-1])
        down, up = a.to(x.dtype), b.to(x.dtype)
        low = flat @ down.T
        result = linear(flat, weight, bias).addmm_(low, up.T, alpha=scale)
        ctx.save_for_backward(flat, low, weight, down, up)
        ctx.scale, ctx.types = scale, (a.dtype, b.dtype)
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Any) -> Any:
        flat, low, weight, down, up = ctx.saved_tensors
        outer = gradient.reshape(-1, gradient.shape[-1])
        # d loss / d (x Aᵀ), (tokens, rank)
        inner = (outer @ up).mul_(ctx.scale)
        for_a = (inner.T @ flat).to(ctx.types[0])
        for_b = (outer.T @ low).mul_(ctx.scale).to(ctx.types[1])
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = (outer @ weight).addmm_(inner, down).view(*gradient.shape[:-1], -1)
        return for_x, None, None, for_a, for_b, None


def enable(model: Any) -> int:
    """Let the plain LoRA layers of a PEFT model compute this way; returns how many.

    Layers of another kind (quantised, DoRA, with dropout or a bias of their own) are left to PEFT.
    """
    from peft.tuners.lora import Linear

    layers = [layer for layer in model.modules() if type(layer) is Linear and _plain(layer)]
    for layer in layers:
        layer.forward = types.MethodType(_forward, layer)
    return len(layers)


def _plain(layer: Any) -> bool:
    """Whether nothing but one LoRA, without dropout, lies on a plain frozen linear layer."""
    active = layer.active_adapters
    if len(active) != 1 or active[0] not in layer.lora_A or layer.lora_variant or layer.fan_in_fan_out:
        return False
    base, dropout = layer.get_base_layer(), layer.lora_dropout[active[0]]
    return (
        type(base) is torch.nn.Linear
        and not base.weight.requires_grad
        and isinstance(dropout, torch.nn.Identity)
        and not layer.lora_bias[active[0]]
    )


def _forward(layer: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    device = x.device.type
    if torch.is_autocast_enabled(device):
        x = x.to(torch.get_autocast_dtype(device))
    base = layer.get_base_layer()
    if args or kwargs or layer.disable_adapters or layer.merged or not _plain(layer) or x.dtype != base.weight.dtype:
        return type(layer).forward(layer, x, *args, **kwargs)
    name = layer.active_adapters[0]
    with torch.autocast(device, enabled=False):
        a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
        return LoraLinear.apply(x, base.weight, base.bias, a, b, layer.scaling[name])
