"""The Python client against the real functions, in-process, over a network that a test may spoil."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import requests

from luthier.client import AsyncLuthier, Luthier
from tests.gateway import Gateway

BASE_URL = "http://api.example.test"


@dataclass
class Network:
    """`api.example.test` is the gateway; every other host is AWS in-process, which `requests` reaches.

    faults: what becomes of the next requests, first to last: "" (nothing), "before" (503, and it did not arrive),
    "after" (503, and it did), "lost" (it arrived, and its answer did not). `between` is called before each request.
    """

    api: Gateway
    faults: list[str] = field(default_factory=list)
    between: Callable[[httpx.Request], object] = lambda _: None
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.between(request)
        self.requests.append(request)
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "before":
            return httpx.Response(503, headers={"Retry-After": "0"}, text="<html>busy</html>")
        answer = self._answered(request)
        if fault == "after":
            return httpx.Response(503, json={"message": "Service Unavailable"})
        if fault == "lost":
            raise httpx.ReadError("The connection was lost.")
        return answer

    async def later(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self(request)

    def _answered(self, request: httpx.Request) -> httpx.Response:
        body = request.read() or None
        if request.url.host != "api.example.test":
            sent = {name: value for name, value in request.headers.items() if name != "host"}
            put = requests.request(request.method, str(request.url), data=body, headers=sent, timeout=5)
            return httpx.Response(put.status_code, content=put.content)
        path = request.url.raw_path.decode()
        answer = self.api.stranger().send(request.method, path, body, headers=dict(request.headers))
        return httpx.Response(answer.status, headers=answer.headers, text=answer.text)

    @property
    def sent(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.requests]

    def client(self, **options: Any) -> Luthier:
        http = httpx.Client(transport=httpx.MockTransport(self))
        return Luthier(api_key=self.api.key, base_url=BASE_URL, http_client=http, **options)

    def async_client(self, **options: Any) -> AsyncLuthier:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.later))
        return AsyncLuthier(api_key=self.api.key, base_url=BASE_URL, http_client=http, **options)


def no_pauses(monkeypatch: Any, during: Callable[[float], object] = lambda _: None) -> list[float]:
    """Let nobody sleep; the seconds that were asked for, as they come. `during` is called with each."""
    asked: list[float] = []

    def sleep(seconds: float) -> None:
        asked.append(seconds)
        during(seconds)

    async def sleep_later(seconds: float) -> None:
        sleep(seconds)

    monkeypatch.setattr("luthier.client.flows.time.sleep", sleep)
    monkeypatch.setattr("luthier.client.flows.asyncio.sleep", sleep_later)
    return asked
