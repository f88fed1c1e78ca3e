"""Which rows of the training file are held out for validation when there is no file for it.

A row's side follows from its content and the seed alone, so equal rows are never parted: a copy in the training part
would make the validation loss look better than the model is.
"""

import hashlib
import json
from array import array

from luthier.datasets.rows import Row
from trainer import conversations

SMALLEST = 50
AUTO_SHARE = 0.1
AUTO_MOST = 1_000
_OTHER_DRAW = 1 << 40


def rank(row: Row, seed: int) -> int:
    """A number below 2**64, the same in every process for rows that train the same; the lowest are held out."""
    answers = [[answer.messages, answer.turns, answer.tools] for answer in conversations.of(row)]
    content = [row.format, row.fields.get("text"), row.fields.get("label"), answers]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8, key=seed.to_bytes(8, "big")).digest(), "big")


def repetitions(row: Row, weight: float, seed: int) -> int:
    """How often a row of a file of this weight is trained on: of weight 1.5 one half of the rows once, the other twice.

    It follows from the row and the seed, but not as its rank does: what is held out must not decide it.
    """
    whole = int(weight)
    if weight == whole:
        return whole
    return whole + (rank(row, seed ^ _OTHER_DRAW) < (weight - whole) * 2**64)


def held_out_rows(rows: int, share: float | str) -> int:
    """How many of so many rows to hold out. auto: none below 50 rows, else a tenth, at most 1,000."""
    if share != "auto":
        return int(rows * float(share))
    return 0 if rows < SMALLEST else min(int(rows * AUTO_SHARE), AUTO_MOST)


def boundary(ranks: "array[int]", count: int) -> int:
    """Rows ranked below this are held out: at most `count`, fewer where equal rows would be parted."""
    import numpy as np

    ordered = np.sort(np.frombuffer(ranks, dtype=np.uint64))
    return int(ordered[count]) if count < len(ordered) else 0
