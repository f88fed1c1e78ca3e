"""Attention over rows that lie one after the other in one sequence, without a mask of all positions by all positions.

Registered with transformers as one more attention implementation. On a GPU a row's attention is computed by PyTorch's
flash kernel for sequences of different lengths (torch.nn.attention.varlen); elsewhere row by row.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

NAME = "luthier_by_row"
CAUSAL = (-1, 0)  # varlen_attn's window: everything before a token, nothing after it
LARGEST_HEAD = 256  # the flash kernel's limit


def use(model: Any) -> bool:
    """Switch a transformers model to attention by row, and say whether that was possible.

    Models with settings that the kernel does not know (sliding windows, soft caps, sinks) keep what they have.
    """
    config = model.config.get_text_config()
    fits = model._supports_sdpa and model._supports_attention_backend and config._attn_implementation == "sdpa"
    windows = getattr(config, "sliding_window", None) or getattr(config, "attn_logit_softcapping", None)
    if not fits or windows or getattr(config, "attention_dropout", 0):
        return False
    register()
    model.set_attn_implementation(NAME)
    return True


def register() -> None:
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, mask)


def mask(
    *, attention_mask: Any = None, allow_is_causal_skip: bool = True, local_size: Any = None, **arguments: Any
) -> Any:
    """None where rows follow each other, since `attention` tells them apart itself; else what SDPA would get."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None and local_size is None and not allow_is_causal_skip:
        return None
    return sdpa_mask(
        attention_mask=attention_mask, allow_is_causal_skip=allow_is_causal_skip, local_size=local_size, **arguments
    )


def attention(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, scaling: float | None = None, **arguments: Any
) -> tuple[Any, None]:
    """transformers' attention interface: query (1, heads, T, size), key and value (1, KV heads, T, size).

    `cu_seq_lens_q` (rows + 1, int32) says where each row begins and where the last ends. Returns (1, T, heads, size).
    """
    bounds = arguments.get("cu_seq_lens_q")
    if attention_mask is None and bounds is None and query.shape[2] == key.shape[2]:
        bounds = _bounds(arguments.get("position_ids"))
    if attention_mask is not None or bounds is None or query.shape[0] != 1:
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **arguments)
    groups = query.shape[1] // key.shape[1]
    # varlen_attn of PyTorch 2.11 wants a key and a value head for every query head.
    key, value = (states.repeat_interleave(groups, dim=1) if groups > 1 else states for states in (key, value))
    flat = [states[0].transpose(0, 1).to(value.dtype) for states in (query, key, value)]
    longest = arguments.get("max_length_q") or int(bounds.diff().max())
    kernel = _kernel(flat[0])
    return kernel(*flat, bounds, bounds, longest, longest, scale=scaling, window_size=CAUSAL)[None], None


def by_row(
    query: Any,
    key: Any,
    value: Any,
    cu_seq_q: Any,
    cu_seq_k: Any,
    max_q: int,
    max_k: int,
    *,
    scale: float | None = None,
    window_size: tuple[int, int] = CAUSAL,
) -> Any:
    """The same as torch.nn.attention.varlen.varlen_attn, one row at a time: query, key, value and result (T, heads,
    size). Only causal attention of a sequence to itself."""
    if window_size != CAUSAL:
        raise ValueError(f"window_size {window_size} is not the causal one, {CAUSAL}")
    lengths = cu_seq_q.diff().tolist()
    rows = zip(*(states.transpose(0, 1)[None].split(lengths, dim=2) for states in (query, key, value)), strict=True)
    results = [scaled_dot_product_attention(*row, is_causal=True, scale=scale) for row in rows]
    return torch.cat(results, dim=2)[0].transpose(0, 1)


def _kernel(query: Any) -> Callable[..., Any]:
    """varlen_attn where it runs: half precision on Ampere or later, PyTorch 2.10 or later."""
    half = query.dtype in (torch.float16, torch.bfloat16) and query.shape[-1] <= LARGEST_HEAD
    if not (query.is_cuda and half and torch.cuda.get_device_capability(query.device) >= (8, 0)):
        return by_row
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return by_row
    return varlen_attn


def _bounds(position_ids: Any) -> Any:
    """Where rows begin, by positions that do not go on from the one before; None when there is only one row."""
    if position_ids is None or position_ids.shape[0] != 1:
        return None
    starts = (position_ids[0].diff() != 1).nonzero().flatten() + 1
    if not len(starts):
        return None
    first, last = starts.new_zeros(1), starts.new_full((1,), position_ids.shape[1])
    return torch.cat([first, starts, last]).int()
