"""The API at `/` of its own port: hides the emulator's execute-api addresses.

One ASGI application serves two ports. Requests that arrive on the front-door port are rewritten to the deployed
REST API's address in the emulator; everything else goes to the emulator as it is.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from infra.local.emulator import Receive, Send

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# API Gateway takes no larger body; the emulator would.
_GATEWAY_BYTES = 10_000_000
_NONE = {"type": None, "param": None, "details": None}
_STARTING = {"code": "starting", "message": "The local cloud is still starting. Try again in a moment.", **_NONE}
_TOO_LARGE = {
    "code": "payload_too_large",
    "message": "A request may carry 10 MB. Upload larger files through POST /v1/files/presigned.",
    **_NONE,
}


class FrontDoor:
    """Routes one port to the deployed API.

    Args:
        emulator: the emulator's ASGI application.
        port: the port whose requests are the API's.
        served: called once per HTTP request, before it is handled.
    """

    def __init__(self, emulator: App, port: int, served: Callable[[], None]) -> None:
        self._emulator = emulator
        self._port = port
        self._served = served
        self._prefix: str | None = None

    def open(self, api_id: str, stage: str) -> None:
        """Lead requests to this REST API from now on."""
        self._prefix = f"/_aws/execute-api/{api_id}/{stage}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._served()
            if (scope.get("server") or ("", 0))[1] == self._port:
                if self._prefix is None:
                    await _answer(send, 503, _STARTING)
                    return
                if _declared_size(scope) > _GATEWAY_BYTES:
                    await _drain(receive)
                    await _answer(send, 413, _TOO_LARGE)
                    return
                scope = _addressed(scope, self._prefix)
            else:
                # The buckets refuse plain HTTP; what never leaves this machine counts as encrypted.
                scope = {**scope, "scheme": "https"}
        await self._emulator(scope, receive, send)


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
