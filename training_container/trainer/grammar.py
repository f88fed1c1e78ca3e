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
        matcher = LLMatcher(self._compiled, LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_COMPACT))
        if matcher.is_error():
            raise BadRequest(f"response_format: {matcher.get_error()[:300]}", "response_format", "unsupported_schema")
        return matcher


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
