"""Answers in parts: server-sent events, as OpenAI writes them."""

import json
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any

import httpx

from luthier.client.answers import Open, opened
from luthier.client.errors import ConnectionFailed, of_event

_END = "[DONE]"


def _event(line: str) -> str | None:
    """The data in a line; comments, which only keep the connection open, and blank lines have none."""
    return line[5:].strip() if line.startswith("data:") else None


def _chunk(data: str) -> Open:
    """Raises the error that an event tells of."""
    told: Any = json.loads(data)
    if isinstance(told, dict) and isinstance(told.get("error"), dict):
        raise of_event(told["error"])
    chunk: Open = opened(told)
    return chunk


def _broken(cause: Exception | None = None) -> ConnectionFailed:
    said = f": {cause}" if cause and str(cause) else ""
    return ConnectionFailed(f"The answer broke off before its end{said}.", remedy="Ask again.")


class Stream:
    """The chunks of one answer, to go through once. Closing it ends the answer.

    Raises LuthierError where the answer fails or breaks off.
    """

    def __init__(self, response: httpx.Response) -> None:
        self.response = response

    def __iter__(self) -> Iterator[Open]:
        try:
            for line in self.response.iter_lines():
                if (data := _event(line)) == _END:
                    return
                if data:
                    yield _chunk(data)
        except httpx.RequestError as failure:
            raise _broken(failure) from failure
        finally:
            self.close()
        raise _broken()

    def close(self) -> None:
        self.response.close()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncStream:
    """The same, with `async for` and `async with`."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response

    async def __aiter__(self) -> AsyncIterator[Open]:
        try:
            async for line in self.response.aiter_lines():
                if (data := _event(line)) == _END:
                    return
                if data:
                    yield _chunk(data)
        except httpx.RequestError as failure:
            raise _broken(failure) from failure
        finally:
            await self.close()
        raise _broken()

    async def close(self) -> None:
        await self.response.aclose()

    async def __aenter__(self) -> "AsyncStream":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
