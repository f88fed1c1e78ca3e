"""The API at `/` of its own port: hides the emulator's execute-api addresses.

One ASGI application serves two ports. Requests that arrive on the front-door port are rewritten to the deployed
REST API's address in the emulator; everything else goes to the emulator as it is. The emulator answers a request whole,
so one that asks for a stream goes to the function's own server instead.
"""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.client import HTTPException
from typing import Any

from infra.local.emulator import Receive, Send
from infra.local.pages import Pages
from infra.local.relay import Relay

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# API Gateway takes no larger body; the emulator would.
_GATEWAY_BYTES = 10_000_000
# API Gateway's own limit on an answer that streams.
_STREAM_SECONDS = 900
_NONE = {"type": None, "param": None, "details": None}
_STARTING = {"code": "starting", "message": "The local cloud is still starting. Try again in a moment.", **_NONE}
_UNAVAILABLE = {"code": "unavailable", "message": "The function does not answer. Try again.", **_NONE}
_TOO_LARGE = {
    "code": "payload_too_large",
    "message": "A request may carry 10 MB. Upload larger files through POST /v1/files/presigned, or in parts of 4 MB.",
    **_NONE,
}


class FrontDoor:
    """Routes one port to the deployed API.

    Args:
        emulator: the emulator's ASGI application.
        port: the port whose requests are the API's.
        served: called once per HTTP request, before it is handled.
        pages: what is served beside the API, even while that is still starting.
    """

    def __init__(self, emulator: App, port: int, served: Callable[[], None], pages: Pages) -> None:
        self._emulator = emulator
        self._port = port
        self._served = served
        self._pages = pages
        self._prefix: str | None = None
        self._streams: Mapping[str, Callable[[], str]] = {}

    def open(self, api_id: str, stage: str, streams: Mapping[str, Callable[[], str]]) -> None:
        """Lead requests to this REST API from now on; `streams`: path → address of who streams its answers."""
        self._streams = streams
        self._prefix = f"/_aws/execute-api/{api_id}/{stage}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._served()
            if (scope.get("server") or ("", 0))[1] == self._port:
                if page := self._pages.find(scope):
                    await self._pages.send(scope, page, send)
                    return
                if self._prefix is None:
                    await _answer(send, 503, _STARTING)
                    return
                if _declared_size(scope) > _GATEWAY_BYTES:
                    await _drain(receive)
                    await _answer(send, 413, _TOO_LARGE)
                    return
                if scope["path"] in self._streams:
                    body = await _read(receive)
                    if _asks_for_stream(body):
                        await self._stream(scope, body, receive, send)
                        return
                    receive = _replayed(body, receive)
                scope = _addressed(scope, self._prefix)
            else:
                # The buckets refuse plain HTTP; what never leaves this machine counts as encrypted.
                scope = {**scope, "scheme": "https"}
        await self._emulator(scope, receive, send)

    async def _stream(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        stage, client = (self._prefix or "").rpartition("/")[2], (scope.get("client") or ("127.0.0.1",))[0]
        context = {"requestId": str(uuid.uuid4()), "stage": stage, "identity": {"sourceIp": client}}
        for name in ("transfer-encoding", "connection", "content-length"):
            headers.pop(name, None)
        headers |= {"x-forwarded-proto": "http", "x-amzn-request-context": json.dumps(context)}
        query = f"?{scope['query_string'].decode('latin-1')}".rstrip("?")
        try:
            address = await asyncio.to_thread(self._streams[scope["path"]])
            url = f"{address}{scope['path']}{query}"
            relay = await asyncio.to_thread(Relay, url, body, headers, _STREAM_SECONDS)
        except (OSError, HTTPException):
            await _answer(send, 503, _UNAVAILABLE)
            return
        told = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in relay.answer.getheaders()
            if name.lower() not in ("transfer-encoding", "connection")
        ]
        await send({"type": "http.response.start", "status": relay.answer.status, "headers": told})
        # Where the function dies the last message is not sent, and the client sees that the answer has broken off.
        async for part in relay.parts(receive):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _asks_for_stream(body: bytes) -> bool:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(asked, dict) and bool(asked.get("stream"))


async def _read(receive: Receive) -> bytes:
    parts = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    return b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """What was read already, then whatever else comes."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> MutableMapping[str, Any]:
        return left.pop() if left else await receive()

    return replay


def _addressed(scope: Scope, prefix: str) -> Scope:
    raw = scope.get("raw_path") or scope["path"].encode()
    # API Gateway says how the client came; functions build addresses from it.
    headers = [*(pair for pair in scope["headers"] if pair[0] != b"x-forwarded-proto"), (b"x-forwarded-proto", b"http")]
    return {**scope, "path": prefix + scope["path"], "raw_path": prefix.encode() + raw, "headers": headers}


def _declared_size(scope: Scope) -> int:
    return int(dict(scope["headers"]).get(b"content-length", b"0"))


async def _drain(receive: Receive) -> None:
    """Read the body to its end: a client that still writes would not see the answer."""
    while (message := await receive()).get("more_body") and message["type"] == "http.request":
        pass


async def _answer(send: Send, status: int, error: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"2")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": error}).encode()})
