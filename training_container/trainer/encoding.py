"""From rows to token ids and labels, cut at the longest sequence that is trained."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from luthier.datasets.rows import Row
from trainer import pieces, templates
from trainer.pieces import Ids, Piece
from trainer.templates import Rendered, Span

IGNORED = -100  # the label that PyTorch's cross entropy leaves out
# input_ids and the like are Ids, label is a bool.
Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text in tokens, not cut. labels: the ids of the trained ones, IGNORED for the others; starts, ends: of the
    characters that each token stands for."""

    ids: Ids
    labels: Ids
    starts: Ids
    ends: Ids

    @property
    def answer(self) -> Span:
        """From the first to behind the last trained token; (length, length) if none is."""
        length = len(self.labels)
        first = next((index for index, label in enumerate(self.labels) if label != IGNORED), length)
        last = next((index for index in range(length - 1, first - 1, -1) if self.labels[index] != IGNORED), length - 1)
        return first, last + 1

    def taught(self, start: int, end: int) -> "Tokens":
        """The same up to `end`, of which all from `start` on are trained."""
        labels = _ignored(start) + self.ids[start:end]
        return Tokens(self.ids[:end], labels, self.starts[:end], self.ends[:end])

    def trained_until(self, end: int) -> int:
        """How many tokens before `end` carry loss. The first is predicted from nothing, so it never does."""
        labels = self.labels[1:end]
        return len(labels) - labels.count(IGNORED)


@dataclass(slots=True)
class Encoded:
    """What one row became. tokens, trained: of all that is left after the cut; longest: its longest text before it.

    learnable: whether a token carries loss when nothing is cut. A row can be learnable and yet yield no example. alike:
    whether the replies of a preference are the same, token by token.
    """

    examples: list[Columns] = field(default_factory=list)
    tokens: int = 0
    trained: int = 0
    longest: int = 0
    truncated: bool = False
    learnable: bool = False
    alike: bool = False


@dataclass(kw_only=True)
class Counts:
    """What the rows of a file, or of a part of one, became.

    rows, truncated and dropped count rows: all of them, those that were cut, and those that yield no example, since
    the cut left nothing to train or two answers do not differ; alike: those of them whose answers do not differ even
    before the cut. tokens: all that a model sees in one epoch; trained: those that carry loss; truncated_tokens: those
    that were cut off; longest: of one sequence.
    """

    rows: int = 0
    examples: int = 0
    tokens: int = 0
    trained: int = 0
    truncated: int = 0
    truncated_tokens: int = 0
    dropped: int = 0
    alike: int = 0
    longest: int = 0

    def count(self, encoded: Encoded, max_length: int) -> None:
        self.rows += 1
        self.examples += len(encoded.examples)
        self.tokens += encoded.tokens
        self.trained += encoded.trained
        self.truncated += encoded.truncated
        self.truncated_tokens += max(0, encoded.longest - max_length)
        self.dropped += not encoded.examples
        self.alike += encoded.alike
        if encoded.examples:
            self.longest = max(self.longest, min(encoded.longest, max_length))

    def nothing_left(self, max_length: int, of: str = "") -> tuple[str, str]:
        """Why no row (of what) yields an example, and what to do about it."""
        same = "the chosen reply and the rejected one are the same"
        differ = "Write replies that differ: the method learns from the difference."
        reach = f"has a token to train on within max_sequence_length {max_length}."
        shorter = "Raise max_sequence_length, or shorten the prompts."
        if not self.alike:
            return f"No row{of} {reach}", shorter
        if self.alike == self.rows:
            return f"In every row{of} {same}.", differ
        return f"In {self.alike} of {self.rows} rows{of} {same}, no other {reach}", f"{differ} {shorter}"


def encode(tokenizer: Any, rows: Sequence[Row], max_length: int) -> list[Encoded]:
    """One result per row; all rows have one format. Raises what `templates.render` raises."""
    return encode_rendered(tokenizer, rows, [templates.render(tokenizer, row) for row in rows], max_length)


def encode_rendered(
    tokenizer: Any, rows: Sequence[Row], rendered: Sequence[list[Rendered]], max_length: int
) -> list[Encoded]:
    """The same for rows that were rendered before."""
    return [
        _encode(row, parts, max_length) for row, parts in zip(rows, tokenize(tokenizer, rows, rendered), strict=True)
    ]


def tokenize(tokenizer: Any, rows: Sequence[Row], rendered: Sequence[list[Rendered]]) -> Iterator[list[Tokens]]:
    """Per row its sequences, not cut: one per text. Those of preference methods end with the answer."""
    texts = [text for part in rendered for text in part]
    # A template writes its own special tokens; plain text gets those the tokenizer puts around any text.
    encoded = pieces.tokenize(tokenizer, [text.text for text in texts], special=rows[0].format == "text")
    tokens = (
        Tokens(piece.ids, _labels(piece, text.trained), piece.starts, piece.ends)
        for text, piece in zip(texts, encoded, strict=True)
    )
    for row, part in zip(rows, rendered, strict=True):
        yield _settled(row, list(islice(tokens, len(part))))


def _labels(tokens: Piece, trained: list[Span]) -> Ids:
    """The ids of tokens that begin inside a trained span, IGNORED for the others."""
    labels = _ignored(len(tokens.ids))
    for span in trained:
        # Tokens are in order of their characters, apart from those of no width around a text.
        first, end = (bisect_left(tokens.starts, character) for character in span)
        labels[first:end] = tokens.ids[first:end]
        for index in range(first, end):
            if tokens.starts[index] == tokens.ends[index]:
                labels[index] = IGNORED
    return labels


def _ignored(count: int) -> Ids:
    return array("i", [IGNORED]) * count


def _settled(row: Row, parts: list[Tokens]) -> list[Tokens]:
    if row.format not in ("preference", "unpaired"):
        return parts
    # Of a pair, both answers begin where they part, so that a token that reaches into one belongs to it.
    start = min(part.answer[0] for part in parts)
    for other in parts[1:]:
        start = min(start, _common_prefix(parts[0].ids[:start], other.ids[:start]))
    return [part.taught(start, part.answer[1]) for part in parts]


def _encode(row: Row, parts: list[Tokens], max_length: int) -> Encoded:
    encoded = Encoded(longest=max(len(part.ids) for part in parts))
    encoded.truncated = encoded.longest > max_length
    if row.format == "preference":
        _add_pair(encoded, parts[0], parts[1], max_length)
    else:
        encoded.learnable = any(part.trained_until(len(part.ids)) for part in parts)
        for part in parts:
            if part.trained_until(max_length):
                _add(encoded, _columns(row, part, max_length), [part], max_length)
    return encoded


def _columns(row: Row, part: Tokens, max_length: int) -> Columns:
    if row.format != "unpaired":
        return {"input_ids": part.ids[:max_length], "labels": part.labels[:max_length]}
    start = part.answer[0]
    label = row.fields["label"]
    return {"prompt_ids": part.ids[:start], "completion_ids": part.ids[start:max_length], "label": label}


def _add_pair(encoded: Encoded, chosen: Tokens, rejected: Tokens, max_length: int) -> None:
    start = chosen.answer[0]
    better, worse = chosen.ids[start:max_length], rejected.ids[start:max_length]
    encoded.learnable = start < min(len(chosen.ids), len(rejected.ids))
    encoded.alike = chosen.ids == rejected.ids
    # Answers that are equal as far as they are seen teach nothing; the validator warns of those that are equal.
    if better and worse and better != worse:
        columns = {"prompt_ids": chosen.ids[:start], "chosen_ids": better, "rejected_ids": worse}
        _add(encoded, columns, [chosen, rejected], max_length)


def _add(encoded: Encoded, columns: Columns, parts: list[Tokens], max_length: int) -> None:
    encoded.examples.append(columns)
    encoded.tokens += sum(min(len(part.ids), max_length) for part in parts)
    encoded.trained += sum(part.trained_until(max_length) for part in parts)


def _common_prefix(one: Ids, other: Ids) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))
