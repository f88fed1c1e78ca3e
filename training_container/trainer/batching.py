"""Answers requests that wait at the same time together: on a CPU, twenty at once take a third of twenty in a row."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from trainer.generation import Prompt
from trainer.sampling import Answer

MAX_BATCH = 32
Change = Callable[[], None]
GATHER_SECONDS = 0.02


class Batcher:
    """One thread that feeds `answer` with prompts of equal batch key, oldest first, and changes the model in between.

    answer: one Answer per prompt, or the exception that refuses it alone.
    """

    def __init__(self, answer: Callable[[Sequence[Prompt]], Sequence[Answer | Exception]]) -> None:
        self._answer = answer
        self._waiting: queue.Queue[tuple[Prompt | Change, Future[Any]]] = queue.Queue()
        self._held: list[tuple[Prompt, Future[Any]]] = []
        threading.Thread(target=self._work, name="generate", daemon=True).start()

    def submit(self, prompt: Prompt) -> "Future[Answer]":
        """The answer to come; it carries the exception if generating failed."""
        future: Future[Answer] = Future()
        self._waiting.put((prompt, future))
        return future

    def between(self, change: Change) -> "Future[None]":
        """Call `change` when no batch runs; the future carries what it raises."""
        future: Future[None] = Future()
        self._waiting.put((change, future))
        return future

    def _work(self) -> None:
        while True:
            self._gather()
            if not self._held:
                continue
            key = self._held[0][0].batch_key
            batch = [entry for entry in self._held if entry[0].batch_key == key][:MAX_BATCH] or self._held[:1]
            self._held = [entry for entry in self._held if entry not in batch]
            self._run(batch)

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
            return
        try:
            wanted()
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    def _run(self, batch: list[tuple[Prompt, "Future[Any]"]]) -> None:
        try:
            answers = self._answer([prompt for prompt, _ in batch])
        except Exception as error:
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
