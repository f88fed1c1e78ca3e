"""Answers that follow a JSON schema: before each token, those are ruled out that could not go on to a valid text.

llguidance tells which: https://github.com/guidance-ai/llguidance
"""

import json
from collections.abc import Sequence
from typing import Any

from trainer.sampling import BadRequest

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

    Of references those inside the schema are followed (`#`, `#/$defs/name`); what is not understood counts as finite,
    and is judged by llguidance.
    """
    return _can_end(schema, schema, ())


def _can_end(part: Any, root: dict[str, Any], above: tuple[str, ...]) -> bool:
    if not isinstance(part, dict):
        return True
    if isinstance(reference := part.get("$ref"), str):
        if reference in above:
            return False
        if not _can_end(_referred(reference, root), root, (*above, reference)):
            return False
    properties = part.get("properties")
    known = properties if isinstance(properties, dict) else {}
    needed = [known[name] for name in part.get("required") or [] if isinstance(name, str) and name in known]
    if isinstance(least := part.get("minItems"), int) and least > 0:
        first = part.get("prefixItems")
        needed += [part.get("items"), *(first[:least] if isinstance(first, list) else [])]
    needed += part["allOf"] if isinstance(part.get("allOf"), list) else []
    choices = [part[name] for name in ("anyOf", "oneOf") if isinstance(part.get(name), list) and part[name]]
    return all(_can_end(inner, root, above) for inner in needed) and all(
        any(_can_end(inner, root, above) for inner in choice) for choice in choices
    )


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
