"""Batches of several processes over rows that do not fill them.

accelerate fills the last batch of an epoch with rows of its first, which then count twice. Where the loss is a sum over
labels, rows without any take their place. Preference methods take the mean over the rows of a process, in which a blank
row would count: theirs are still repeated.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any

from torch.utils.data import Sampler

from trainer import distribution
from trainer.data import IGNORED

Collate = Callable[[Sequence[dict[str, Any]]], Any]


class Filled(Sampler[int]):
    """`rows` in their order, and after them the number of a blank row until there are `total`."""

    def __init__(self, rows: Any, blank: int, total: int) -> None:
        self._rows, self._blank, self._total = rows, blank, total

    def __iter__(self) -> Iterator[int]:
        yield from self._rows
        yield from repeat(self._blank, self._total - len(self._rows))

    def __len__(self) -> int:
        return self._total

    def set_epoch(self, epoch: int) -> None:
        self._rows.set_epoch(epoch)


def with_blanks(dataset: Any, count: int) -> Any:
    """The tokenized texts, and after them `count` rows that carry no loss."""
    from datasets import Dataset, concatenate_datasets

    blank = {"input_ids": dataset[0]["input_ids"][:2], "labels": [IGNORED] * 2}
    return concatenate_datasets([dataset, Dataset.from_list([blank] * count, features=dataset.features)])


def missing(rows: int, batch_size: int) -> int:
    """How many rows the last batch of all processes lacks, when each takes `batch_size`; 0 for one process."""
    return -rows % (batch_size * distribution.world_size()) if distribution.world_size() > 1 else 0


def without_blanks(collate: Collate) -> Collate:
    """Blank rows are left out of a batch, but for one where there is nothing else."""

    def collated(rows: Sequence[dict[str, Any]]) -> Any:
        return collate([row for row in rows if any(label != IGNORED for label in row["labels"])] or rows[:1])

    return collated
