"""Answers that follow a JSON schema: before each token, those are ruled out that could not go on to a valid text.

llguidance tells which: https://github.com/guidance-ai/llguidance
"""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from trainer.sampling import BadRequest

Held = TypeVar("Held", list[Any], dict[str, Any])
# Between tokens of JSON a model could write spaces for ever.
_COMPACT: Any = {"whitespace_flexible": False}


class Grammars:
    """The schemas of one model's requests. vocabulary: how many logits it gives."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: Sequence[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._ends = list(ends)
        self._compiled: Any = None

    def matcher(self, schema: dict[str, Any]) -> Any:
        """Follows one answer. Raises BadRequest where the schema is none, or asks for what cannot be kept to."""
        from llguidance import LLMatcher, LLTokenizer

        if self._compiled is None:
            # A second for a large vocabulary, once.
            text = self._tokenizer.backend_tokenizer.to_str()
            self._compiled = LLTokenizer(text, n_vocab=self._vocabulary, eos_token=self._ends)
        try:
            if not can_end(schema):
                raise _unsupported("no text that it allows has an end")
            grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_COMPACT)
        except (ValueError, RecursionError) as error:
            raise _unsupported(f"{error or 'it is nested too deep'}") from None
        matcher = LLMatcher(self._compiled, grammar)
        if matcher.is_error():
            raise _unsupported(matcher.get_error())
        return matcher


def _unsupported(why: str) -> BadRequest:
    return BadRequest(f"response_format: {why[:300]}", "response_format", "unsupported_schema")


def can_end(schema: dict[str, Any]) -> bool:
    """Whether some text that a JSON schema allows is finite: one that must hold another of itself has no end.

    Of references those inside the schema are followed (`#`, `#/$defs/name`), each once per round until nothing changes;
    what is not understood counts as finite, and is judged by llguidance.
    """
    ends: dict[str, bool] = {}
    while True:
        before = dict(ends)
        whole = _ends(schema, ends)
        for reference in list(ends):
            ends[reference] = ends[reference] or _ends(_referred(reference, schema), ends)
        if ends == before:
            return whole


def _ends(part: Any, ends: dict[str, bool]) -> bool:
    """Whether a part has a finite text, by what is known of its references so far; new ones are noted."""
    if not isinstance(part, dict):
        return True
    if isinstance(reference := part.get("$ref"), str) and not ends.setdefault(reference, False):
        return False
    needed = [_held(part, "properties", {}).get(name) for name in _held(part, "required", []) if isinstance(name, str)]
    if isinstance(least := part.get("minItems"), int) and least > 0:
        needed += [part.get("items"), *_held(part, "prefixItems", [])[:least]]
    needed += _held(part, "allOf", [])
    choices = [choice for name in ("anyOf", "oneOf") if (choice := _held(part, name, []))]
    # All of them before any is judged, so that every reference is noted.
    found = [_ends(inner, ends) for inner in needed]
    options = [[_ends(inner, ends) for inner in choice] for choice in choices]
    return all(found) and all(map(any, options))


def _held(part: dict[str, Any], name: str, nothing: Held) -> Held:
    """What a keyword holds, nothing where that is of another kind than it has to be."""
    found = part.get(name)
    return found if isinstance(found, type(nothing)) else nothing


def _referred(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


class Ruling:
    """A logits processor: rules out, row by row, what the row's matcher does not allow; rows without one are free."""

    def __init__(self, matchers: Sequence[Any]) -> None:
        self._matchers = matchers

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import numpy as np
        import torch
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

        rows, vocabulary = scores.shape
        bits = allocate_token_bitmask(rows, vocabulary)
        for row, matcher in enumerate(self._matchers):
            if matcher is not None:
                fill_next_token_bitmask(matcher, bits, row)
        allowed = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little")[:, :vocabulary]
        return scores.masked_fill(torch.from_numpy(allowed == 0).to(scores.device), float("-inf"))

    def took(self, row: int, token: int) -> None:
        """The row's next token was chosen."""
        matcher = self._matchers[row]
        if matcher is not None and not matcher.is_stopped():
            matcher.consume_token(token)
