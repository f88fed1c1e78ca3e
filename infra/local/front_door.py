"""The API at `/` of its own port: hides the emulator's execute-api addresses.

One ASGI application serves two ports. Requests that arrive on the front-door port are rewritten to the deployed
REST API's address in the emulator; everything else goes to the emulator as it is.
"""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_STARTING = {
    "error": {
        "code": "starting",
        "message": "The local cloud is still starting. Try again in a moment.",
        "type": None,
        "param": None,
        "details": None,
    }
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
                    await _answer_starting(send)
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


async def _answer_starting(send: Send) -> None:
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"2")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(_STARTING).encode()})
