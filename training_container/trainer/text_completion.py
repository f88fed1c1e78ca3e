"""OpenAI's text completion: prompts that are gone on from as they are, without a chat template.

Source: https://platform.openai.com/docs/api-reference/completions/create
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainer import sampling
from trainer.sampling import Answer, BadRequest, Piece, Sampling, TokenChoice

DEFAULT_MAX_TOKENS = 16
MOST_LOGPROBS = 5
_NEUTRAL_ONLY: dict[str, tuple[Any, ...]] = {"echo": (None, False), "suffix": (None, "")}
_OWN = {*_NEUTRAL_ONLY, "best_of", "logprobs", "prompt"}


@dataclass(frozen=True, kw_only=True)
class TextRequest(Sampling):
    """prompts: texts, or token ids. Their choices follow each other, `n` per prompt."""

    prompts: list[str | list[int]]


def parse(body: dict[str, Any], adapter: str | None = None) -> TextRequest:
    """As chat.parse."""
    sampling.refuse_unknown(body, _OWN)
    sampling.refuse_unless_neutral(body, _NEUTRAL_ONLY)
    fields = sampling.parse({"max_tokens": DEFAULT_MAX_TOKENS} | _sent(body), adapter)
    if body.get("best_of") not in (None, fields["n"]):
        raise sampling.unsupported("best_of", "but as the same number as n")
    count = sampling.integer(body, "logprobs", minimum=0)
    if (count or 0) > MOST_LOGPROBS:
        raise BadRequest(f"logprobs must be at most {MOST_LOGPROBS}.", "logprobs")
    prompts = _prompts(body.get("prompt"))
    if len(prompts) * fields["n"] > sampling.MOST_CHOICES:
        raise BadRequest(f"prompt times n must be at most {sampling.MOST_CHOICES} choices.", "prompt")
    return TextRequest(prompts=prompts, top_logprobs=count, **fields)


def _sent(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if value is not None}


def _prompts(given: Any) -> list[str | list[int]]:
    if isinstance(given, str) or _is_tokens(given):
        return [given]
    if isinstance(given, list) and given and all(isinstance(each, str) or _is_tokens(each) for each in given):
        return given
    raise BadRequest("prompt must be a text, a list of token ids, or a list of either.", "prompt")


def _is_tokens(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and all(type(each) is int and each >= 0 for each in given)


def completion(request: TextRequest, answers: Sequence[Answer], prompt_tokens: int) -> dict[str, Any]:
    """The `text_completion` object; answers in the order of their index."""
    return {
        **_head(request),
        "choices": [
            {
                "index": index,
                "text": answer.text,
                "logprobs": None if answer.choices is None else _Offsets().logprobs(answer.choices),
                "finish_reason": answer.finish_reason,
            }
            for index, answer in enumerate(answers)
        ],
        "usage": sampling.usage(prompt_tokens, sum(answer.completion_tokens for answer in answers)),
    }


class Chunks:
    """The `text_completion` objects that an answer streams in."""

    def __init__(self, request: TextRequest) -> None:
        self._request = request
        self._offsets: dict[int, _Offsets] = {}
        self._head = _head(request)

    def opening(self, index: int) -> None:
        """Nothing: nobody speaks."""

    def of(self, index: int, piece: Piece) -> dict[str, Any]:
        """What a choice has grown by; the last one has a reason."""
        told = None
        if self._request.top_logprobs is not None and piece.choices:
            told = self._offsets.setdefault(index, _Offsets()).logprobs(piece.choices)
        choice = {"index": index, "text": piece.text, "logprobs": told, "finish_reason": piece.finish_reason}
        return {**self._head, "choices": [choice]}

    def counted(self, counts: dict[str, int]) -> dict[str, Any]:
        """The chunk without choices that has the usage."""
        return {**self._head, "choices": [], "usage": counts}


def _head(request: TextRequest) -> dict[str, Any]:
    return {
        "id": sampling.new_id("cmpl"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": request.model,
    }


class _Offsets:
    """Where the tokens of one choice begin in its text, in characters."""

    def __init__(self) -> None:
        self._end = 0

    def logprobs(self, choices: Sequence[TokenChoice]) -> dict[str, Any]:
        starts = []
        for choice in choices:
            starts.append(self._end)
            self._end += len(choice.token.text)
        return {
            "tokens": [choice.token.text for choice in choices],
            "token_logprobs": [choice.logprob for choice in choices],
            "top_logprobs": [{token.text: logprob for token, logprob in choice.top} for choice in choices],
            "text_offset": starts,
        }
