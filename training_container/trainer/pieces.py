"""Texts of any length in tokens: a long one piece by piece, since a tokenizer takes some 200 bytes a character.

Neighbouring pieces overlap. They are joined in the middle of what they share, and only if all tokens there are the
same, so that what stands before the one and behind the other made no difference. A text of which that does not hold is
tokenized whole.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

# Integers of 4 bytes: a row may have millions of tokens.
Ids: TypeAlias = "array[int]"

PIECE = 1 << 16
# On both sides of where two pieces meet.
OVERLAP = 1 << 11
# What is tokenized at once, in bytes at most: a character may become a token for each of its bytes.
_AT_ONCE = 1 << 18


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens with the characters they stand for; (0, 0) for those that the tokenizer puts around a text."""

    ids: Ids
    starts: Ids
    ends: Ids

    def _index(self, character: int) -> int:
        """Of the first token from a character on."""
        count = len(self.ids)
        while count and not self.ends[count - 1]:
            count -= 1
        return bisect_left(self.starts, character, hi=count)

    def between(self, start: int, end: int | None = None) -> "Piece":
        """The tokens that begin from a character on, and before another; without one, all that follow."""
        kept = slice(self._index(start), None if end is None else self._index(end))
        return Piece(self.ids[kept], self.starts[kept], self.ends[kept])

    def cut(self, character: int) -> None:
        """Drop the tokens that begin from a character on."""
        kept = self._index(character)
        del self.ids[kept:], self.starts[kept:], self.ends[kept:]

    def append(self, other: "Piece") -> None:
        self.ids.extend(other.ids)
        self.starts.extend(other.starts)
        self.ends.extend(other.ends)


def tokenize(tokenizer: Any, texts: Sequence[str], special: bool) -> Iterator[Piece]:
    """The tokens of each text; with special, those that the tokenizer puts around any text too."""
    ranges = [_ranges(len(text)) for text in texts]
    parts = ((text[start:end], start) for text, spans in zip(texts, ranges, strict=True) for start, end in spans)
    encoded = (piece for group in _groups(parts) for piece in _encode(tokenizer, group, special))
    for text, spans in zip(texts, ranges, strict=True):
        yield _joined(islice(encoded, len(spans))) or next(_encode(tokenizer, [(text, 0)], special))


def _ranges(length: int) -> list[tuple[int, int]]:
    """What to tokenize of a text; pieces meet at multiples of PIECE."""
    if length <= PIECE + OVERLAP:
        return [(0, length)]
    return [(max(0, start - OVERLAP), min(start + PIECE + OVERLAP, length)) for start in range(0, length, PIECE)]


def _joined(pieces: Iterator[Piece]) -> Piece | None:
    """None if two pieces disagree; takes all of them even so."""
    whole = next(pieces)
    agree = True
    for number, piece in enumerate(pieces, start=1):
        first, end = number * PIECE - OVERLAP // 2, number * PIECE + OVERLAP // 2
        shared = whole.between(first, end) if agree else None
        agree = shared is not None and len(shared.ids) > 0 and shared == piece.between(first, end)
        if agree:
            whole.cut(first)
            whole.append(piece.between(first))
    return whole if agree else None


def _groups(parts: Iterator[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    group: list[tuple[str, int]] = []
    size = 0
    for part in parts:
        group.append(part)
        size += len(part[0]) * (1 if part[0].isascii() else 4)
        if size > _AT_ONCE:
            yield group
            group, size = [], 0
    if group:
        yield group


def _encode(tokenizer: Any, parts: list[tuple[str, int]], special: bool) -> Iterator[Piece]:
    """The tokens of texts, each with where it begins in a longer one."""
    encoded = tokenizer(
        [text for text, _ in parts],
        add_special_tokens=special,
        return_offsets_mapping=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )
    for (_, begin), ids, offsets in zip(parts, encoded["input_ids"], encoded["offset_mapping"], strict=True):
        starts = array("i", [start + begin if end else 0 for start, end in offsets])
        ends = array("i", [end + begin if end else 0 for _, end in offsets])
        yield Piece(array("i", ids), starts, ends)
