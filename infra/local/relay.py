"""One HTTP request passed on to a process of this machine, and its answer passed back while it is written."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

from infra.local.emulator import Receive

_PART_BYTES = 64 * 1024


class Relay:
    """`answer` has begun once this is made. seconds: how long either side may be silent.

    Raises OSError or HTTPException when nobody answers.
    """

    def __init__(self, url: str, body: bytes, headers: Mapping[str, str], seconds: float) -> None:
        parts = urlsplit(url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
        connection.request("POST", f"{parts.path}?{parts.query}".rstrip("?"), body, dict(headers))
        self._socket: socket.socket = connection.sock
        self.answer: HTTPResponse = connection.getresponse()

    async def parts(self, receive: Receive) -> AsyncIterator[bytes]:
        """The body as it comes, until its end or until whoever asked has hung up.

        Raises OSError or HTTPException where it breaks off.
        """
        gone = asyncio.create_task(_hung_up(receive))
        try:
            while not gone.done():
                reading = asyncio.create_task(asyncio.to_thread(self.answer.read1, _PART_BYTES))
                await asyncio.wait({reading, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done():
                    reading.add_done_callback(lambda ended: ended.exception())
                elif part := reading.result():
                    yield part
                else:
                    return
        finally:
            gone.cancel()
            self.close()

    def close(self) -> None:
        """Hang up: it wakes a thread that still reads, and tells the other side that nobody does."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


async def _hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
