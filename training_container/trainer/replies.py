"""One request on its way through the engine: answered whole, or chunk by chunk, until it is done or nobody waits."""

import json
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from functools import partial
from typing import Any

from trainer import chat, sampling, text_completion
from trainer.chat import ChatRequest
from trainer.generation import Generator
from trainer.sampling import Answer, BadRequest, Piece
from trainer.text_completion import TextRequest

# How long it may take to see that the client is gone, where nothing is told meanwhile.
_LOOK_SECONDS = 0.2
Submit = Callable[[Any], "Future[Answer]"]
Heard = Piece | BaseException


class ClientGone(Exception):
    """The client has hung up; what was still to be generated is not."""


def parse(body: Any, adapter: str | None) -> ChatRequest | TextRequest:
    """A text completion where there is a prompt instead of messages. Raises BadRequest."""
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    if "prompt" in body and "messages" not in body:
        return text_completion.parse(body, adapter)
    return chat.parse(body, adapter)


class Reply:
    """The answers to one request. `gone` tells whether the client has hung up.

    Made, the request waits for its turn; raises BadRequest instead.
    """

    def __init__(self, request: ChatRequest | TextRequest, generator: Generator, submit: Submit) -> None:
        self.request = request
        self._prompts = generator.prepare(request)
        self._heard: queue.SimpleQueue[tuple[int, Heard]] = queue.SimpleQueue()
        self._futures = []
        for index, prompt in enumerate(self._prompts):
            if request.stream:
                prompt.hear = partial(self._hear, index)
            future = submit(prompt)
            future.add_done_callback(partial(self._ended, index))
            self._futures.append(future)

    def completion(self, gone: Callable[[], bool]) -> dict[str, Any]:
        """The whole answer. Raises ClientGone, or why there is none."""
        waiting: Any = self._futures
        while waiting:
            waiting = wait(waiting, timeout=_LOOK_SECONDS, return_when=FIRST_EXCEPTION).not_done
            failed = next((error for future in self._futures if future.done() and (error := future.exception())), None)
            if failed:
                raise failed
            if waiting:
                self._look(gone)
        answers = [future.result() for future in self._futures]
        if isinstance(self.request, TextRequest):
            return text_completion.completion(self.request, answers, self._prompt_tokens)
        return chat.completion(self.request, answers, self._prompt_tokens)

    def events(self, gone: Callable[[], bool]) -> Iterator[str]:
        """The data of each server-sent event, `[DONE]` at the end. Raises as `completion`, also in between."""
        request = self.request
        chunks = text_completion.Chunks(request) if isinstance(request, TextRequest) else chat.Chunks(request)
        counted = [0] * len(self._prompts)
        for index in range(len(self._prompts)):
            if opening := chunks.opening(index):
                yield self._event(opening, counted)
        for index, piece in self._pieces(gone):
            counted[index] = piece.tokens
            if chunk := chunks.of(index, piece):
                yield self._event(chunk, counted)
        if request.include_usage:
            yield json.dumps(chunks.counted(self._usage(counted)))
        yield "[DONE]"

    def cancel(self) -> None:
        """Let what is not finished not be gone on with."""
        for prompt in self._prompts:
            prompt.cancelled = True

    def _pieces(self, gone: Callable[[], bool]) -> Iterator[tuple[int, Piece]]:
        left = len(self._prompts)
        while left:
            self._look(gone)
            try:
                index, heard = self._heard.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                continue
            if isinstance(heard, BaseException):
                raise heard
            left -= heard.finish_reason is not None
            yield index, heard

    def _look(self, gone: Callable[[], bool]) -> None:
        if gone():
            self.cancel()
            raise ClientGone

    def _hear(self, index: int, piece: Piece) -> None:
        self._heard.put((index, piece))

    def _ended(self, index: int, future: "Future[Answer]") -> None:
        if error := future.exception():
            self._heard.put((index, error))

    def _event(self, chunk: dict[str, Any], counted: list[int]) -> str:
        if self.request.continuous_usage:
            chunk = {**chunk, "usage": self._usage(counted)}
        elif self.request.include_usage:
            chunk = {**chunk, "usage": None}
        return json.dumps(chunk)

    @property
    def _prompt_tokens(self) -> int:
        """Each prompt counts once, however many answers it has."""
        return sum(len(prompt.ids) for prompt in self._prompts[:: self.request.n])

    def _usage(self, counted: list[int]) -> dict[str, int]:
        return sampling.usage(self._prompt_tokens, sum(counted))
