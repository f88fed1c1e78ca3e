"""Batches of examples of like length: what is padded is computed for nothing."""

from collections.abc import Sequence

ROWS_PER_BATCH = 32
TOKENS_PER_BATCH = 16_384


def batches(lengths: Sequence[int], *, tokens: int = TOKENS_PER_BATCH) -> list[list[int]]:
    """Numbers of the examples, shortest first, so that a padded batch has at most `tokens` tokens or a single row."""
    groups: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda number: lengths[number]):
        # The newest is the longest, which the others are padded to.
        rows = len(groups[-1]) + 1 if groups else 1
        if not groups or rows > ROWS_PER_BATCH or rows * lengths[number] > tokens:
            groups.append([])
        groups[-1].append(number)
    return groups
