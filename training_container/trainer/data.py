"""From a channel's JSONL files to token ids and labels. A wrong row stops the run and is named by file and line."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from luthier.datasets.report import Report, examine
from luthier.datasets.rows import Finding, Row, parse_row
from trainer import log, templates
from trainer.failures import Failure

IGNORED = -100  # the label that PyTorch's cross entropy leaves out
ROWS_AT_ONCE = 1_000
FINDINGS_SHOWN = 10


@dataclass
class Examples:
    """What a channel yields. tokens: all of them once; trained: those that carry loss; lengths in tokens."""

    rows: int = 0
    sha256: str = ""
    input_ids: list[Any] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    tokens: int = 0
    trained: int = 0
    truncated: int = 0
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.input_ids)

    def dataset(self) -> Any:
        """The same as a `datasets.Dataset`, which is what TRL takes."""
        from datasets import Dataset

        return Dataset.from_dict({"input_ids": self.input_ids, "labels": self.labels})


def read(channel: Path, tokenizer: Any, max_length: int) -> Examples | None:
    """All examples of a channel in file order, cut at `max_length` tokens; None if there is no such channel."""
    paths = sorted(channel.glob("*.jsonl"))
    if not paths:
        return None
    _check(paths)
    examples = Examples(sha256=_sha256(paths))
    rows = _rows(paths)
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        _add(examples, batch, tokenizer, max_length)
    _judge(examples, channel.name, max_length)
    return examples


def _check(paths: list[Path]) -> None:
    problems = []
    for path in paths:
        report = _report(path)
        problems += [_problem(path, finding) for finding in report.findings[:FINDINGS_SHOWN]]
        if (more := report.counts.total() - FINDINGS_SHOWN) > 0:
            problems.append(f"and {more} more in {path.name}")
    if problems:
        raise Failure("bad_dataset", " ".join(problems))


def _report(path: Path) -> Report:
    with path.open("rb") as file:
        return examine(iter(lambda: file.read(1 << 20), b""))


def _problem(path: Path, finding: Finding) -> str:
    return f"{path.name} line {finding.line} {finding.pointer}: {finding.message}".replace(" :", ":")


def _sha256(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            for chunk in iter(lambda: file.read(1 << 20), b""):
                digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class _Place:
    path: Path
    line: int
    row: Row


def _rows(paths: list[Path]) -> Iterator[_Place]:
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if line.strip():
                    yield _Place(path, number, parse_row(line, number))


def _add(examples: Examples, places: list[_Place], tokenizer: Any, max_length: int) -> None:
    templates.ensure_template(tokenizer, places[0].row.format)
    examples.rows += len(places)
    rendered = [text for place in places for text in _render(place, tokenizer)]
    # A template writes its own special tokens; plain text gets those the tokenizer puts around any text.
    encoded = tokenizer(
        [text.text for text in rendered],
        add_special_tokens=places[0].row.format == "text",
        return_offsets_mapping=True,
        return_attention_mask=False,
        verbose=False,
    )
    for text, ids, offsets in zip(rendered, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        _add_example(examples, ids, _labels(ids, offsets, text.trained), max_length)


def _render(place: _Place, tokenizer: Any) -> list[templates.Rendered]:
    from jinja2 import TemplateError

    try:
        return templates.render(tokenizer, place.row.format, place.row.fields)
    except TemplateError as error:
        message = f"{place.path.name} line {place.line}: the base model's chat template refuses the row: {error}"
        raise Failure("bad_dataset", message) from error


def _labels(ids: list[int], offsets: list[tuple[int, int]], trained: list[templates.Span]) -> list[int]:
    """The ids of tokens that lie inside a trained span, IGNORED for the others."""
    labels = [IGNORED] * len(ids)
    spans = iter(trained)
    span = next(spans, None)
    for index, (start, end) in enumerate(offsets):
        while span and start >= span[1]:
            span = next(spans, None)
        if span and start >= span[0] and end > start:
            labels[index] = ids[index]
    return labels


def _add_example(examples: Examples, ids: list[int], labels: list[int], max_length: int) -> None:
    import numpy as np

    examples.truncated += len(ids) > max_length
    ids, labels = ids[:max_length], labels[:max_length]
    # The first token is predicted from nothing, so a label there trains nothing.
    trained = sum(label != IGNORED for label in labels[1:])
    if not trained:
        examples.dropped += 1
        return
    examples.input_ids.append(np.array(ids, dtype=np.int64))
    examples.labels.append(np.array(labels, dtype=np.int64))
    examples.tokens += len(ids)
    examples.trained += trained


def _judge(examples: Examples, channel: str, max_length: int) -> None:
    if not len(examples):
        message = f"No row of {channel} has a token to train on within max_sequence_length {max_length}."
        raise Failure("bad_dataset", message, "Raise max_sequence_length or shorten the prompts.")
    log.info(
        "dataset read",
        channel=channel,
        rows=examples.rows,
        examples=len(examples),
        tokens=examples.tokens,
        trained_tokens=examples.trained,
    )
    if examples.truncated or examples.dropped:
        log.warning(
            f"rows are longer than max_sequence_length {max_length}",
            channel=channel,
            truncated=examples.truncated,
            dropped=examples.dropped,
        )
