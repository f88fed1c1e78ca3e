"""Faster kernels for a model that has just been loaded on a GPU: Liger Kernel's norms, rotary positions and gated
layers (https://arxiv.org/abs/2410.10989). Of its losses `trainer.loss` takes what it needs itself.

Measured on one H200, Llama-3.1-8B's shape, LoRA of rank 16, 4 rows of 4,096 tokens: 1.20 times the tokens per second of
the same run without, and 22 GiB less memory (tests/benchmarks/gpu_lora.py).
"""

import functools
import importlib.util
import sys
from collections.abc import Callable
from typing import Any

from trainer import device


@functools.cache
def there() -> bool:
    """Whether Liger's kernels can be compiled for a GPU here."""
    return device.has_compiler() and importlib.util.find_spec("liger_kernel") is not None


def use(model: Any) -> bool:
    """Whether the model, a causal one of transformers, has other kernels now; types unknown to Liger stay."""
    if model.device.type != "cuda" or not there():
        return False
    from liger_kernel.transformers import monkey_patch

    if model.config.model_type not in monkey_patch.MODEL_TYPE_TO_APPLY_LIGER_FN:
        return False
    module = sys.modules[type(model).__module__]
    before = dict(vars(module))
    monkey_patch._apply_liger_kernel_to_instance(model, cross_entropy=False, fused_linear_cross_entropy=False)
    _keep_for_others(module, before)
    return True


def _keep_for_others(module: Any, before: dict[str, Any]) -> None:
    """Liger changes the model's module too. Its classes go back, so that models loaded later, on a CPU perhaps, are as
    they were; its functions stay for tensors on a GPU."""
    for name, was in before.items():
        now = getattr(module, name)
        if now is not was:
            setattr(module, name, was if isinstance(was, type) else _by_device(now, was))


def _by_device(on_gpu: Callable[..., Any], elsewhere: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(elsewhere)
    def choose(first: Any, *args: Any, **kwargs: Any) -> Any:
        return (on_gpu if first.is_cuda else elsewhere)(first, *args, **kwargs)

    return choose
