"""Answers requests that wait at the same time together: on a CPU, twenty at once take a third of twenty in a row."""

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from trainer.chat import Answer
from trainer.generation import Prompt

MAX_BATCH = 32
GATHER_SECONDS = 0.02


class Batcher:
    """One thread that feeds `answer` with prompts of equal batch key, oldest first."""

    def __init__(self, answer: Callable[[Sequence[Prompt]], list[Answer]]) -> None:
        self._answer = answer
        self._waiting: queue.Queue[tuple[Prompt, Future[Answer]]] = queue.Queue()
        self._held: list[tuple[Prompt, Future[Answer]]] = []
        threading.Thread(target=self._work, name="generate", daemon=True).start()

    def submit(self, prompt: Prompt) -> "Future[Answer]":
        """The answer to come; it carries the exception if generating failed."""
        future: Future[Answer] = Future()
        self._waiting.put((prompt, future))
        return future

    def _work(self) -> None:
        while True:
            self._gather()
            key = self._held[0][0].batch_key
            batch = [entry for entry in self._held if entry[0].batch_key == key][:MAX_BATCH] or self._held[:1]
            self._held = [entry for entry in self._held if entry not in batch]
            self._run(batch)

    def _gather(self) -> None:
        """Wait for at least one request, then a moment longer for those sent with it."""
        if not self._held:
            self._held.append(self._waiting.get())
        try:
            while len(self._held) < MAX_BATCH:
                self._held.append(self._waiting.get(timeout=GATHER_SECONDS))
        except queue.Empty:
            return

    def _run(self, batch: list[tuple[Prompt, "Future[Any]"]]) -> None:
        try:
            answers = self._answer([prompt for prompt, _ in batch])
        except Exception as error:
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), answer in zip(batch, answers, strict=True):
                future.set_result(answer)
