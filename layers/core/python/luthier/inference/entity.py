"""What a model answered, in no surface's words. Pure."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answerer:
    """Who answered. `model`: by its main name; version: that of the model, where it has one (a base model has not)."""

    deployment_id: str
    model: str
    version: str | None = None


@dataclass(frozen=True)
class Completion:
    """`content`: an OpenAI chat completion, in one piece; beside it who answered."""

    content: dict[str, Any]
    by: Answerer


@dataclass
class Stream:
    """An answer on its way. `chunks`: OpenAI's, each with the usage so far where the engine counts along; beside them
    who answers. Whoever wants no more of them sets `stopped`, and what was produced by then is metered."""

    chunks: Generator[dict[str, Any]]
    by: Answerer
    stopped: bool = False


@dataclass(frozen=True)
class Answered:
    """One choice of a completion.

    model: the name that was asked for; latency_ms: wall clock; cost: in the platform's currency, 0 where it is free.
    """

    by: Answerer
    model: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    latency_ms: int
    cost: float = 0.0

    @classmethod
    def of(cls, answer: Completion, *, latency_ms: int, cost: float = 0.0) -> "Answered":
        completion = answer.content
        choice, usage = completion["choices"][0], completion.get("usage") or {}
        return cls(
            by=answer.by,
            model=completion["model"],
            text=choice["message"].get("content") or "",
            finish_reason=choice.get("finish_reason") or "stop",
            prompt_tokens=usage.get("prompt_tokens") or 0,
            completion_tokens=usage.get("completion_tokens") or 0,
            latency_ms=latency_ms,
            cost=cost,
        )
