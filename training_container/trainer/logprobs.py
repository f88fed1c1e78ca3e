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
        self._steps: list[tuple[Any, Any, Any, Any]] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        handle = self._model.register_forward_hook(self._keep)
        try:
            yield
        finally:
            handle.remove()

    def _keep(self, module: Any, inputs: Any, output: Any) -> None:
        self._step = output.logits[:, -1].float().log_softmax(dim=-1)

    def saw(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """A stopping criterion that stops nothing: by now the step's token is chosen."""
        chosen = input_ids[:, -1:]
        logprobs, tokens = self._step.topk(self._top, dim=-1) if self._top else (None, None)
        self._steps.append((chosen[:, 0].tolist(), self._step.gather(1, chosen)[:, 0].tolist(), tokens, logprobs))
        return chosen[:, 0] < 0

    def choices(self, rows: int) -> list[list[Choice]]:
        """The tokens of each row, in their order; behind a row's end stands padding."""
        found: list[list[Choice]] = [[] for _ in range(rows)]
        for chosen, logprobs, top_tokens, top_logprobs in self._steps:
            tokens = top_tokens.tolist() if top_tokens is not None else [[]] * rows
            likely = top_logprobs.tolist() if top_logprobs is not None else [[]] * rows
            for row in range(rows):
                top = list(zip(tokens[row], likely[row], strict=True))
                found[row].append(Choice(chosen[row], logprobs[row], top))
        return found
