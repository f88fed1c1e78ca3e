"""Log-probabilities of what was generated, as the model gave them: before temperature, penalties and cut-offs.

transformers can keep the logits of a whole generation, which are gigabytes for a long one; here each step is reduced to
what an answer may show before the next begins.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Choice:
    """One generated token: its id, its natural log-probability, and the likeliest (id, log-probability), best first."""

    token: int
    logprob: float
    top: list[tuple[int, float]]


class Watcher:
    """Watches one generation of a causal language model. `top`: how many of the likeliest tokens to keep."""

    def __init__(self, model: Any, top: int) -> None:
        self._model = model
        self._top = top
        self._step: Any = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        handle = self._model.register_forward_hook(self._keep)
        try:
            yield
        finally:
            handle.remove()

    def _keep(self, module: Any, inputs: Any, output: Any) -> None:
        self._step = output.logits[:, -1].float().log_softmax(dim=-1)

    def step(self, chosen: Any) -> list[Choice]:
        """What each row has just chosen; chosen: token ids of the shape [rows, 1]."""
        logprobs = self._step.gather(1, chosen)[:, 0].tolist()
        likely: list[list[tuple[int, float]]] = [[]] * len(logprobs)
        if self._top:
            values, tokens = self._step.topk(self._top, dim=-1)
            likely = [list(zip(*row, strict=True)) for row in zip(tokens.tolist(), values.tolist(), strict=True)]
        return [Choice(*row) for row in zip(chosen[:, 0].tolist(), logprobs, likely, strict=True)]
