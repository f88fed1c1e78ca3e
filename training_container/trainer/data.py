"""From a job's JSONL files to the examples that a trainer takes.

Memory stays flat whatever their size, until a trainer reads them: that of KTO holds all completions and labels.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from luthier.datasets.rows import Row
from trainer import encoding, log, templates, tokenized
from trainer.channels import FINDINGS_SHOWN, Place, batches
from trainer.encoding import IGNORED, Columns, Counts
from trainer.failures import Failure
from trainer.folders import Folders
from trainer.sources import Source
from trainer.templates import Rendered

__all__ = ["IGNORED", "Examples", "held_out", "load", "render"]


@dataclass(kw_only=True)
class Examples(Counts):
    """One channel, or the part of one, in tokens.

    overlap: validation rows that are also trained on. sha256: of the channel's files.
    """

    channel: str
    path: Path
    sha256: str
    overlap: int = 0

    def __len__(self) -> int:
        return self.examples

    @cached_property
    def dataset(self) -> Any:
        """A `datasets.Dataset`, mapped into memory, with the columns of `tokenized.COLUMNS`."""
        from datasets import Dataset

        return Dataset.from_file(str(self.path))


def load(folders: Folders, tokenizer: Any, config: Any) -> tuple[Examples, Examples | None]:
    """The examples to train on and those to validate with, in file order; the latter None if there are none.

    Without a validation channel, rows are held out of the training one (see `split`). Raises Failure(bad_dataset),
    Failure(template_missing), and OSError on a full disk.
    """
    source = Source(folders, config)
    folder = folders.root / "tokenized"
    key = source.key(templates.fingerprint(tokenizer))
    parts = tokenized.obtain(folder, key, lambda draft: _tokenize(source, tokenizer, draft))
    # As the rows were rendered; training, saving and serving go on with it.
    tokenizer.chat_template = tokenizer.chat_template or templates.PLAIN_TEMPLATE
    loaded = [Examples(path=tokenized.path_of(folder, key, part), **counts) for part, counts in parts.items()]
    for examples in loaded:
        _judge(examples, config)
    return loaded[0], loaded[1] if len(loaded) > 1 else None


def held_out(folders: Folders, config: Any) -> Iterator[Row]:
    """The rows that `load` validates with, in file order. Raises Failure(bad_dataset) as it does."""
    source = Source(folders, config)
    return (place.row for place in source.places() if place.part == "validation")


def render(tokenizer: Any, place: Place) -> list[Rendered]:
    """The texts of a row; what is wrong with it is said with its file and line."""
    from jinja2 import TemplateError

    try:
        return templates.render(tokenizer, place.row)
    except Failure as failure:
        raise Failure(failure.code, f"{place}: {failure.message}", failure.hint) from failure
    except (TemplateError, TypeError) as error:
        raise Failure("bad_dataset", f"{place}: the base model's chat template refuses the row: {error}") from error


def _tokenize(source: Source, tokenizer: Any, draft: Callable[[str], Path]) -> tokenized.Index:
    """Writes both parts and returns their counts."""
    shas = {"train": source.train.sha256, "validation": (source.validation or source.train).sha256}
    parts = {name: Examples(channel=name, path=draft(name), sha256=sha256) for name, sha256 in shas.items()}
    with ExitStack() as stack:
        writers = {name: stack.enter_context(tokenized.Writer(draft(name), source.config.method)) for name in parts}
        for batch in batches((place, render(tokenizer, place)) for place in source.places()):
            columns = _encode(batch, parts, tokenizer, source.config.hyperparameters.max_sequence_length)
            for name, examples in columns.items():
                writers[name].write(examples)
    parts["validation"].overlap = source.overlap
    counts = {name: asdict(examples) for name, examples in parts.items() if examples.rows}
    return {name: {key: count for key, count in fields.items() if key != "path"} for name, fields in counts.items()}


def _encode(
    batch: list[tuple[Place, list[Rendered]]], parts: dict[str, Examples], tokenizer: Any, max_length: int
) -> dict[str, list[Columns]]:
    """The examples of each part, which are counted there."""
    places, rendered = [place for place, _ in batch], [texts for _, texts in batch]
    results = encoding.encode_rendered(tokenizer, [place.row for place in places], rendered, max_length)
    columns: dict[str, list[Columns]] = {name: [] for name in parts}
    for place, encoded in zip(places, results, strict=True):
        parts[place.part].count(encoded, max_length)
        columns[place.part] += encoded.examples
    _require_learnable([place for place, encoded in zip(places, results, strict=True) if not encoded.learnable])
    return columns


def _require_learnable(places: list[Place]) -> None:
    if places:
        more = ", and more" if len(places) > FINDINGS_SHOWN else ""
        message = f"Rows without a token to train on: {', '.join(map(str, places[:FINDINGS_SHOWN]))}{more}."
        raise Failure("bad_dataset", message, "Give each row an answer that the chat template shows, or drop the row.")


def _judge(examples: Examples, config: Any) -> None:
    asked = config.hyperparameters
    if not len(examples):
        raise Failure("bad_dataset", *examples.nothing_left(asked.max_sequence_length, f" of {examples.channel}"))
    if examples.truncated > examples.rows * asked.max_truncated_share:
        message = f"{examples.truncated} of {examples.rows} rows of {examples.channel} are longer than "
        cut_off = examples.dropped - examples.alike
        message += f"max_sequence_length {asked.max_sequence_length}; {cut_off} of them lose their whole answer."
        hint = f"Raise max_sequence_length, shorten the rows, or raise max_truncated_share {asked.max_truncated_share}."
        raise Failure("bad_dataset", message, hint)
    _tell(examples, asked.max_sequence_length)


def _tell(examples: Examples, max_length: int) -> None:
    log.info(
        "dataset read",
        channel=examples.channel,
        rows=examples.rows,
        examples=len(examples),
        tokens=examples.tokens,
        trained_tokens=examples.trained,
    )
    if examples.truncated:
        log.warning(
            f"rows are longer than max_sequence_length {max_length}",
            channel=examples.channel,
            truncated=examples.truncated,
            dropped=examples.dropped,
        )
    if examples.alike:
        log.warning("rows whose replies are the same are left out", channel=examples.channel, alike=examples.alike)
    if examples.overlap:
        log.warning("validation rows are also trained on", channel=examples.channel, overlap=examples.overlap)
