"""LoRA's linear layers as one operation: y = x Wᵀ + b + s (x Aᵀ) Bᵀ, https://arxiv.org/abs/2106.09685 equation 3.

PEFT's own forward makes a copy of x in the adapter's type, keeps it for the way back, and adds the two parts in
tensors of their own. Here x is kept once, in the type of the frozen weight, and the adapter's part is added in place.
Layers that are given the same x, as those of queries, keys and values, are one operation: x goes once through all of
their A, and its gradient is added up within the matrix products.
"""

import types
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

# Children of one module that its forward gives the same tensor, in the order of its calls.
_SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))


class LoraLinears(torch.autograd.Function):
    """x (…, in) through n layers, each of weight (out, in) and bias (out) or None, both frozen, and a scale.

    tensors: the n weights, then the n biases, then each a (rank, in), then each b (out, rank). Returns n results.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, scales: tuple[float, ...], *tensors: Any) -> tuple[Any, ...]:
        count = len(scales)
        weights, biases, down, up = (tensors[start : start + count] for start in range(0, 4 * count, count))
        flat = x.reshape(-1, x.shape[-1])
        ctx.scales, ctx.ranks = scales, [one.shape[0] for one in down]
        ctx.types = [[one.dtype for one in kind] for kind in (down, up)]
        downs = _stacked(down).to(x.dtype)
        ups = [one.to(x.dtype) for one in up]
        low = flat @ downs.T
        results = [
            linear(flat, weight, bias).addmm_(part, one.T, alpha=scale).view(*x.shape[:-1], -1)
            for weight, bias, part, one, scale in zip(
                weights, biases, low.split(ctx.ranks, 1), ups, scales, strict=True
            )
        ]
        ctx.save_for_backward(flat, low, downs, *weights, *ups)
        return tuple(results)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        flat, low, downs, *rest = ctx.saved_tensors
        count = len(ctx.scales)
        weights, ups = rest[:count], rest[count:]
        outers = [gradient.reshape(-1, gradient.shape[-1]) for gradient in gradients]
        # d loss / d (x Aᵀ) of all layers, (tokens, their ranks)
        inner = _stacked(
            [(outer @ up).mul_(scale) for outer, up, scale in zip(outers, ups, ctx.scales, strict=True)], 1
        )
        for_downs = [part.to(kind) for part, kind in zip((inner.T @ flat).split(ctx.ranks), ctx.types[0], strict=True)]
        for_ups = [
            (outer.T @ part).mul_(scale).to(kind)
            for outer, part, scale, kind in zip(outers, low.split(ctx.ranks, 1), ctx.scales, ctx.types[1], strict=True)
        ]
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = outers[0] @ weights[0]
            for outer, weight in zip(outers[1:], weights[1:], strict=True):
                for_x.addmm_(outer, weight)
            for_x = for_x.addmm_(inner, downs).view(*gradients[0].shape[:-1], -1)
        return for_x, None, *[None] * (2 * count), *for_downs, *for_ups


def _stacked(tensors: Any, dimension: int = 0) -> Any:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dimension)


def enable(model: Any) -> int:
    """Let the plain LoRA layers of a PEFT model compute this way; returns how many.

    Layers of another kind (quantised, DoRA, with dropout or a bias of their own) are left to PEFT.
    """
    from peft.tuners.lora import Linear

    plain = {layer for layer in model.modules() if type(layer) is Linear and _plain(layer)}
    groups = [_Siblings(found) for module in model.modules() for found in _siblings(module, plain)]
    grouped = {layer for group in groups for layer in group.layers}
    for group in [*groups, *[_Siblings([layer]) for layer in plain - grouped]]:
        for layer in group.layers:
            layer.forward = types.MethodType(group.forward, layer)
    return len(plain)


def _siblings(module: Any, plain: set[Any]) -> list[list[Any]]:
    """The module's children that share their input; only where the frozen weights are of one kind and place."""
    found = [[getattr(module, name, None) for name in names] for names in _SIBLINGS]
    return [
        layers
        for layers in found
        if all(layer in plain for layer in layers)
        and len({(_base(layer).in_features, _base(layer).weight.dtype, _base(layer).weight.device) for layer in layers})
        == 1
    ]


def _base(layer: Any) -> Any:
    return layer.get_base_layer()


def _plain(layer: Any) -> bool:
    """Whether nothing but one LoRA, without dropout, lies on a plain frozen linear layer."""
    active = layer.active_adapters
    if len(active) != 1 or active[0] not in layer.lora_A or layer.lora_variant or layer.fan_in_fan_out:
        return False
    base, dropout = _base(layer), layer.lora_dropout[active[0]]
    return (
        type(base) is torch.nn.Linear
        and not base.weight.requires_grad
        and isinstance(dropout, torch.nn.Identity)
        and not layer.lora_bias[active[0]]
    )


class _Siblings:
    """Layers whose results are computed together, when the first of them is called, and wait there for their own call.

    A layer that is then called with another tensor was never a sibling: from there on each computes alone.
    """

    def __init__(self, layers: list[Any]) -> None:
        self.layers = layers
        self._given: Any = None
        self._waiting: dict[Any, Any] = {}

    def forward(self, layer: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        if layer in self._waiting and self._given is x:
            result = self._waiting.pop(layer)
            if not self._waiting:
                self._given = None
            return result
        device = x.device.type
        cast = x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x
        if args or kwargs or not _as_it_was(layer, cast):
            return type(layer).forward(layer, x, *args, **kwargs)
        if layer in self._waiting:
            self.layers = [layer]
        together = (
            self.layers if layer is self.layers[0] and all(_as_it_was(one, cast) for one in self.layers) else [layer]
        )
        results = dict(zip(together, _computed(together, cast), strict=True))
        own = results.pop(layer)
        self._given, self._waiting = (x, results) if results else (None, {})
        return own


def _as_it_was(layer: Any, x: Any) -> bool:
    """Whether the layer's LoRA is still to be added to what its base makes of x."""
    return not layer.disable_adapters and not layer.merged and _plain(layer) and x.dtype == _base(layer).weight.dtype


def _computed(layers: list[Any], x: Any) -> tuple[Any, ...]:
    bases, names = [_base(layer) for layer in layers], [layer.active_adapters[0] for layer in layers]
    with torch.autocast(x.device.type, enabled=False):
        return LoraLinears.apply(
            x,
            tuple(layer.scaling[name] for layer, name in zip(layers, names, strict=True)),
            *[base.weight for base in bases],
            *[base.bias for base in bases],
            *[layer.lora_A[name].weight for layer, name in zip(layers, names, strict=True)],
            *[layer.lora_B[name].weight for layer, name in zip(layers, names, strict=True)],
        )
