"""Answers requests that wait at the same time together: on a CPU, twenty at once take a third of twenty in a row.

transformers' own continuous batching packs all requests into one row, where PEFT can tell no adapters apart, and rules
no tokens out by a grammar; llama.cpp's server takes adapters only at its start, and batches none with another.
"""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from trainer.generation import Prompt
from trainer.sampling import Answer
from trainer.turn import OthersWait

MAX_BATCH = 32
Change = Callable[[], None]
GATHER_SECONDS = 0.02


class Batcher:
    """One thread that feeds `answer` with prompts of equal batch key, oldest first, and changes the model in between.

    answer: one Answer per prompt, or the exception that refuses it alone; None for one that goes on in the next batch,
    with those who have come meanwhile. Its second argument tells whether somebody has.
    """

    def __init__(self, answer: Callable[[Sequence[Prompt], OthersWait], Sequence[Answer | Exception | None]]) -> None:
        self._answer = answer
        self._waiting: queue.Queue[tuple[Prompt | Change, Future[Any]]] = queue.Queue()
        self._held: list[tuple[Prompt, Future[Any]]] = []
        self._changes: list[tuple[Change, Future[Any]]] = []
        threading.Thread(target=self._work, name="generate", daemon=True).start()

    def submit(self, prompt: Prompt) -> "Future[Answer]":
        """The answer to come; it carries the exception if generating failed."""
        future: Future[Answer] = Future()
        prompt.finished = future.set_result
        self._waiting.put((prompt, future))
        return future

    def between(self, change: Change) -> "Future[None]":
        """Call `change` while no answer is under way; the future carries what it raises."""
        future: Future[None] = Future()
        self._waiting.put((change, future))
        return future

    def _work(self) -> None:
        while True:
            self._gather()
            if not self._held:
                continue
            batch = self._chosen()
            self._held = [entry for entry in self._held if entry not in batch]
            self._run(batch)
            while self._changes and not self._begun:
                _make(*self._changes.pop(0))

    def _chosen(self) -> list[tuple[Prompt, "Future[Any]"]]:
        first = self._held[0]
        key = first[0].batch_key
        alike = [entry for entry in self._held if entry[0].batch_key == key]
        if first[0].transcript is not None and (self._changes or len(alike) < len(self._held)):
            # Changes and those of another kind would never have their turn if others went on joining this one.
            alike = [entry for entry in alike if entry[0].transcript is not None]
        return alike[:MAX_BATCH] or [first]

    def _others_wait(self) -> bool:
        """Whether somebody came since the batch began, and nothing had to wait for it to end."""
        return not self._held and not self._changes and not self._waiting.empty()

    @property
    def _begun(self) -> bool:
        """Whether there are answers to be gone on with: until they are whole, the model stays as it is."""
        return any(prompt.transcript is not None for prompt, _ in self._held)

    def _gather(self) -> None:
        """Wait for at least one request, then a moment longer for those sent with it; changes are made at once."""
        try:
            self._take(None if not self._held else GATHER_SECONDS)
            while len(self._held) < MAX_BATCH:
                self._take(GATHER_SECONDS)
        except queue.Empty:
            return

    def _take(self, seconds: float | None) -> None:
        wanted, future = self._waiting.get(timeout=seconds)
        if isinstance(wanted, Prompt):
            self._held.append((wanted, future))
        elif self._begun:
            self._changes.append((wanted, future))
        else:
            _make(wanted, future)

    def _run(self, batch: list[tuple[Prompt, "Future[Any]"]]) -> None:
        try:
            answers = self._answer([prompt for prompt, _ in batch], self._others_wait)
        except Exception as error:
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if answer is None or future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._held = [entry for entry, answer in zip(batch, answers, strict=True) if answer is None] + self._held


def _make(change: Change, future: "Future[None]") -> None:
    try:
        change()
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(None)
