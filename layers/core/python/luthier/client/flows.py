"""How the client does anything: flows, written once, and the two ways to carry them out.

A flow is a generator. It yields what has to be done outside, a request or a pause, is sent what came of it, and returns
its result; it never touches the network or the clock. `Sync` carries flows out by blocking, `Async` by awaiting.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from luthier.client.streaming import AsyncStream, Stream

T = TypeVar("T")


@dataclass(frozen=True)
class Send:
    """One request. `stream`: leave the answer unread.

    body: what httpx takes of content (pieces that can be read again), json, data and files.
    """

    method: str
    url: str
    headers: dict[str, str] = field(repr=False)
    body: dict[str, Any]
    params: dict[str, Any]
    timeout: httpx.Timeout
    stream: bool = False

    def facts(self) -> dict[str, Any]:
        return {"headers": self.headers, "params": self.params or None, "timeout": self.timeout, **self.body}

    def asynchronous(self) -> dict[str, Any]:
        facts = self.facts()
        return {**facts, "content": _awaited(facts["content"])} if "content" in facts else facts

    @property
    def follows(self) -> bool:
        return self.method == "GET"


@dataclass(frozen=True)
class Pause:
    seconds: float


async def _awaited(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


# What came of a request: an answer, or why there is none.
Outcome = httpx.Response | httpx.RequestError
Flow = Generator[Send | Pause, Any, T]


class Sync:
    """Carries flows out in the thread that asks."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def run(self, flow: Flow[T]) -> T:
        came: Any = None
        while True:
            try:
                wanted = flow.send(came)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(wanted, Pause):
                time.sleep(wanted.seconds)
                came = None
            else:
                came = self._send(wanted)

    def _send(self, wanted: Send) -> Outcome:
        try:
            request = self.http.build_request(wanted.method, wanted.url, **wanted.facts())
            response = self.http.send(request, stream=True, follow_redirects=wanted.follows)
            if not wanted.stream or response.is_error:
                response.read()
        except httpx.RequestError as failure:
            return failure
        return response

    def stream(self, response: httpx.Response) -> Stream:
        return Stream(response)


class Async:
    """Carries flows out in an event loop."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    def run(self, flow: Flow[T]) -> Coroutine[Any, Any, T]:
        return self._run(flow)

    async def _run(self, flow: Flow[T]) -> T:
        came: Any = None
        while True:
            try:
                wanted = flow.send(came)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(wanted, Pause):
                await asyncio.sleep(wanted.seconds)
                came = None
            else:
                came = await self._send(wanted)

    async def _send(self, wanted: Send) -> Outcome:
        try:
            request = self.http.build_request(wanted.method, wanted.url, **wanted.asynchronous())
            response = await self.http.send(request, stream=True, follow_redirects=wanted.follows)
            if not wanted.stream or response.is_error:
                await response.aread()
        except httpx.RequestError as failure:
            return failure
        return response

    def stream(self, response: httpx.Response) -> AsyncStream:
        return AsyncStream(response)
