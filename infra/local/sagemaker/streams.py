"""InvokeEndpointWithResponseStream: a container's answer passed on as it is written, to its end or while somebody reads."""

import asyncio
import contextlib
import socket
import time
from http.client import HTTPConnection, HTTPException, HTTPResponse
from urllib.parse import urlsplit

from infra.local.emulator import Receive, Send
from infra.local.sagemaker import event_stream

# SageMaker's own limit on one streamed invocation.
STREAM_SECONDS = 480
_PART_BYTES = 64 * 1024


class ContainerStream:
    """One answer of a container. Raises OSError or HTTPException when it cannot be asked."""

    def __init__(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self._ends = time.monotonic() + STREAM_SECONDS
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=STREAM_SECONDS)
        connection.request("POST", parts.path, body, headers)
        self._socket: socket.socket = connection.sock
        self.answer: HTTPResponse = connection.getresponse()

    async def run(self, send: Send, receive: Receive) -> None:
        """Pass the parts on as events; the last one is empty, or an exception."""
        gone = asyncio.create_task(_hung_up(receive))
        try:
            while (event := await self._next(gone)) is not None:
                await send({"type": "http.response.body", "body": event, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            gone.cancel()
            # It wakes a thread that still reads, and tells the container that nobody does.
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self.answer.close()
            self._socket.close()

    async def _next(self, gone: "asyncio.Task[None]") -> bytes | None:
        if self.answer.isclosed() or gone.done():
            return None
        if time.monotonic() > self._ends:
            self.answer.close()
            return event_stream.model_stream_error("ModelInvocationTimeExceeded", "The invocation took too long.")
        reading = asyncio.create_task(asyncio.to_thread(self.answer.read1, _PART_BYTES))
        await asyncio.wait({reading, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            reading.add_done_callback(lambda ended: ended.exception())
            return None
        try:
            part = reading.result()
        except (OSError, HTTPException, ValueError):
            self.answer.close()
            return event_stream.model_stream_error("StreamBroken", "The container broke off its answer.")
        return event_stream.payload_part(part) if part else None


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
