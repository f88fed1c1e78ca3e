"""Held-out rows that the model was trained on: they would make it look better than it is."""

import hashlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from luthier.datasets.rows import Row
from trainer import split

ROWS_AT_ONCE = 1_000
# Equal for rows that train the same.
_identity = partial(split.rank, seed=0)


def in_train(train: Iterable[Row], held_out: Iterable[Row]) -> Callable[[Row], bool]:
    """Tells of any held-out row whether it occurs in train. Only the held-out rows' hashes are kept."""
    asked = set(map(_identity, held_out))
    found = asked.intersection(map(_identity, train))
    return lambda row: _identity(row) in found


def examples_in_train(train: Any, held_out: Any) -> set[int]:
    """The numbers of those examples of a tokenized `datasets.Dataset` whose every token is the same in one of train."""
    places: dict[bytes, list[int]] = {}
    for number, digest in enumerate(_digests(held_out)):
        places.setdefault(digest, []).append(number)
    return {number for digest in _digests(train) for number in places.get(digest, ())}


def _digests(dataset: Any) -> Iterable[bytes]:
    names = sorted(dataset.column_names)
    for batch in dataset.with_format("numpy").iter(batch_size=ROWS_AT_ONCE):
        for values in zip(*(batch[name] for name in names), strict=True):
            # With its length, so that a prompt's end cannot pass for an answer's beginning.
            parts = [str(value.shape).encode() + value.astype("i8").tobytes() for value in values]
            yield hashlib.blake2b(b"".join(parts), digest_size=16).digest()
