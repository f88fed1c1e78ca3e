"""Held-out rows in files, for a model that is judged after its run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from luthier.datasets.formats import FORMATS_OF_METHOD
from luthier.datasets.rows import BadRow, Row
from trainer import encoding, tokenized
from trainer.channels import Channel, open_channel
from trainer.evaluation import leakage
from trainer.failures import Failure

ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class HeldOut:
    """Rows that were found good, and which of them the model was trained on."""

    channel: Channel
    method: str
    leaked: Callable[[Row], bool]

    def rows(self) -> Iterator[Row]:
        return (place.row for place in self.channel.places())

    def tokenize(self, tokenizer: Any, max_length: int, path: Path) -> tuple[Any, set[int]]:
        """A `datasets.Dataset` as in training, mapped from `path`, and the numbers of its leaked examples."""
        from datasets import Dataset

        leaks: set[int] = set()
        count = 0
        rows = self.rows()
        with tokenized.Writer(path, self.method) as writer:
            while some := list(islice(rows, ROWS_AT_ONCE)):
                for row, encoded in zip(some, encoding.encode(tokenizer, some, max_length), strict=True):
                    writer.write(encoded.examples)
                    if self.leaked(row):
                        leaks.update(range(count, count + len(encoded.examples)))
                    count += len(encoded.examples)
        return Dataset.from_file(str(path)), leaks


def read(data: Path, train: Path | None) -> HeldOut:
    """The rows of a .jsonl file or of a folder of them; those that are also in `train` count as leaked.

    Raises Failure(bad_dataset) for wrong rows and where there are none.
    """
    channel = _open(data)
    method = _method(channel)
    channel.survey(method)
    if train is None:
        return HeldOut(channel, method, lambda row: False)
    # Whatever of it was tolerated in training was not trained on.
    trained = (place.row for place in _open(train, tolerated=1.0).places())
    try:
        leaked = leakage.in_train(trained, (place.row for place in channel.places()))
    except BadRow as error:
        raise Failure("bad_dataset", f"{train}: {error}") from error
    return HeldOut(channel, method, leaked)


def _open(path: Path, tolerated: float = 0.0) -> Channel:
    channel = Channel(path.name, (path,), tolerated) if path.is_file() else open_channel(path, tolerated)
    if channel is None:
        raise Failure("bad_dataset", f"There is no .jsonl file at {path}.")
    return channel


def _method(channel: Channel) -> str:
    """A method that takes such rows: it decides how they are tokenized."""
    try:
        form = next(place.row.format for place in channel.places())
    except (StopIteration, BadRow):
        # Surveyed next, where what is wrong is reported.
        return "sft"
    return next(method for method, formats in FORMATS_OF_METHOD.items() if form in formats)
