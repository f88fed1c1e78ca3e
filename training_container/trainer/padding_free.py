"""Batches without padding: the rows of a micro-batch follow each other in one sequence, and none sees another.

TRL's collator makes such batches (`padding_free=True`, `max_length=None`), with positions that start anew at each row.
"""

from typing import Any

import numpy as np
import torch

from trainer import attention, log

SMALLEST_SHARE = 0.02
ROWS_LOOKED_AT = 100_000
# How far the hidden states of a row may move when another row stands before it, relative to their size.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 1e-2}


def prepare(model: Any, lengths: Any, batch_size: int) -> bool:
    """Whether to train without padding; switches the attention of a model that has just been loaded.

    lengths: tokens of each training row. Where a check with a few tokens finds that rows see each other, the model is
    left as it was.
    """
    if not worthwhile(lengths, batch_size):
        return False
    # An adapter that goes on is around it already.
    model = model.get_base_model() if hasattr(model, "peft_config") else model
    before = model.config._attn_implementation
    if attention.use(model) and keeps_rows_apart(model):
        return True
    model.set_attn_implementation(before)
    log.info("rows are padded, since this model would mix rows of one sequence")
    return False


def worthwhile(lengths: Any, batch_size: int) -> bool:
    """Whether padding would be more than a fiftieth of what is computed.

    Measured on a CPU per step, SmolLM2 with 6 layers: 0.90 of the padded time at 15 % padding (four rows of 44 to 62
    tokens), 0.63 to 0.77 at 33 % (a log-normal mix), and no gain where there is nothing to leave out, since then one
    call for all rows is the simpler way. On one H200, an 8B model, 16 log-normal rows at a time: 1.56 times the tokens
    per second of the fastest peer (tests/benchmarks/gpu_lora.py).
    """
    return padding_share(lengths, batch_size) > SMALLEST_SHARE


def padding_share(lengths: Any, batch_size: int) -> float:
    """Part of the positions of shuffled batches that would be padding; lengths in tokens, one of each row."""
    shuffled = np.random.default_rng(0).permutation(np.asarray(lengths))[:ROWS_LOOKED_AT]
    padded = sum(
        int(batch.max()) * len(batch)
        for batch in (shuffled[start : start + batch_size] for start in range(0, len(shuffled), batch_size))
    )
    return 1 - float(shuffled.sum()) / padded if padded else 0.0


@torch.no_grad()
def keeps_rows_apart(model: Any) -> bool:
    """Whether the model says the same about a short row that follows another as about the row alone."""
    device = model.get_input_embeddings().weight.device
    tokens = torch.arange(1, 12, device=device) % model.config.get_text_config().vocab_size
    rows = [tokens[:7], tokens[7:]]
    backbone, training = model.base_model, model.training
    model.eval()
    try:
        expected = backbone(input_ids=rows[1][None], use_cache=False).last_hidden_state[0]
        given = backbone(**flattened(rows), use_cache=False).last_hidden_state[0, len(rows[0]) :]
    finally:
        model.train(training)
    difference = (given - expected).float().norm() / expected.float().norm()
    return bool(difference < TOLERANCE.get(expected.dtype, 1e-3))


def flattened(rows: list[Any]) -> dict[str, Any]:
    """What the collator makes of rows of token ids: everything (1, T), bounds (rows + 1)."""
    device = rows[0].device
    lengths = torch.tensor([0, *(len(row) for row in rows)], device=device)
    bounds, longest = lengths.cumsum(0).to(torch.int32), int(lengths.max())
    return {
        "input_ids": torch.cat(rows)[None],
        "position_ids": torch.cat([torch.arange(len(row), device=device) for row in rows])[None],
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
    }
