"""Shows what training makes of a row: its tokens, which of them carry loss, and what is cut."""

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nsmallest
from itertools import groupby
from typing import Any

from luthier.datasets.rows import Row
from trainer import encoding, templates
from trainer.encoding import IGNORED, Encoded, Tokens
from trainer.templates import Rendered

# Fewer trained tokens than this teach little.
FEW = 4
# What counts as very long: a share of the longest sequence that is trained.
LONG = 0.9
RISKS = ("no_trained_token", "truncated", "few_trained_tokens", "very_long", "none")
_PARTS = {"preference": ("chosen", "rejected"), "unpaired": ("completion",)}


@dataclass(frozen=True)
class Risky:
    """A row with the worst that can be said of it: one of RISKS. Lines count from 1."""

    risk: str
    line: int
    row: Row


def preview(tokenizer: Any, row: Row, max_length: int) -> dict[str, Any]:
    """What a row becomes, as JSON can write it. Raises what `templates.render` raises.

    {"format": str, "sequences": [sequence, …]}; a preference has two, chosen and rejected, a conversation one, or one
    per assistant turn where the template rewrites earlier turns. A sequence is

        part        "conversation", "chosen", "rejected" or "completion"
        text        what was rendered
        tokens      {"ids": [int], "strings": [str], "characters": [[start, end]]}, all of equal length n, not cut;
                    what follows the answer of a preference is left out
        loss_mask   n times 0 or 1: 1 where the loss is computed
        trained     [{"characters": [start, end], "tokens": [start, end], "text": str}]: the runs of loss_mask
        truncation  null, or {"token": int, "character": int, "tokens": int, "trained_tokens": int, "text": str}: where
                    the cut falls, how many tokens and trained tokens lie behind it, and the text that is lost

    Ranges end before `end`, and count from 0.
    """
    rendered = templates.render(tokenizer, row)
    (parts,) = encoding.tokenize(tokenizer, [row], [rendered])
    names = _PARTS.get(row.format, ("conversation",) * len(parts))
    sequences = [
        _sequence(tokenizer, name, text, part, max_length)
        for name, text, part in zip(names, rendered, parts, strict=True)
    ]
    return {"format": row.format, "sequences": sequences}


def risk(encoded: Encoded, max_length: int) -> str:
    """The worst of RISKS that a row runs."""
    if not encoded.examples:
        return "no_trained_token"
    if encoded.truncated:
        return "truncated"
    if encoded.trained < FEW:
        return "few_trained_tokens"
    return "very_long" if encoded.longest > LONG * max_length else "none"


def riskiest(rows: Iterable[tuple[Encoded, Risky]], count: int) -> list[Risky]:
    """The `count` rows most worth a look, worst first: by risk, then by fewest trained tokens, then by length.

    Takes any number of rows, and holds `count` of them.
    """
    found = nsmallest(count, rows, key=lambda pair: (RISKS.index(pair[1].risk), pair[0].trained, -pair[0].longest))
    return [risky for _, risky in found]


def _sequence(tokenizer: Any, name: str, rendered: Rendered, tokens: Tokens, max_length: int) -> dict[str, Any]:
    text = rendered.text
    mask = [int(label != IGNORED and 0 < index < max_length) for index, label in enumerate(tokens.labels)]
    return {
        "part": name,
        "text": text,
        "tokens": {
            "ids": tokens.ids.tolist(),
            "strings": [
                # A token that the tokenizer puts around a text has no characters there.
                text[start:end] or tokenizer.convert_ids_to_tokens(token)
                for token, start, end in zip(tokens.ids, tokens.starts, tokens.ends, strict=True)
            ],
            "characters": [list(span) for span in zip(tokens.starts, tokens.ends, strict=True)],
        },
        "loss_mask": mask,
        "trained": [_run(text, tokens, start, end) for start, end in _runs(mask)],
        "truncation": _truncation(text, tokens, max_length),
    }


def _runs(mask: list[int]) -> list[tuple[int, int]]:
    runs = []
    for trained, group in groupby(range(len(mask)), key=mask.__getitem__):
        indices = list(group)
        if trained:
            runs.append((indices[0], indices[-1] + 1))
    return runs


def _run(text: str, tokens: Tokens, start: int, end: int) -> dict[str, Any]:
    first, last = tokens.starts[start], tokens.ends[end - 1]
    return {"characters": [first, last], "tokens": [start, end], "text": text[first:last]}


def _truncation(text: str, tokens: Tokens, max_length: int) -> dict[str, Any] | None:
    length = len(tokens.ids)
    if length <= max_length:
        return None
    start, end = tokens.starts[max_length], max(tokens.ends)
    lost = tokens.trained_until(length) - tokens.trained_until(max_length)
    return {
        "token": max_length,
        "character": start,
        "tokens": length - max_length,
        "trained_tokens": lost,
        "text": text[start:end],
    }
