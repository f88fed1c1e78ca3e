"""One HTTP/1.1 connection to a receiver, as small as a webhook needs it: POST, read the answer, keep it open."""

import asyncio
import re
import ssl
import time
from dataclasses import dataclass

# What is kept of an answer for the log, and how much of it is read so that the connection can be used again.
SHOWN_BYTES = 500
_READ_BYTES = 65_536
_LONGEST_HEAD = 16_384
_PACKET = 4_096
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_CLOSING = re.compile(rb"\r\nconnection:[^\r]*close", re.IGNORECASE)


class Malformed(Exception):
    """What came back is not HTTP, or not all of it came."""


class Stale(Exception):
    """The receiver had closed the connection before it saw this request."""


@dataclass(frozen=True)
class Answer:
    """`text` is the beginning of the body; `last`: no other request may follow on the connection."""

    status: int
    text: str
    last: bool


class Connection(asyncio.BufferedProtocol):
    """A connection whose address was checked when it was opened; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        # Ours to fill: asyncio would allocate 256 KiB for every packet.
        self._space = bytearray(_PACKET)
        self._received = bytearray()
        self._awaited: asyncio.Future[Answer] | None = None
        self._reused = False
        self.used_at = time.monotonic()
        # Whether a request may follow.
        self.open = True

    @property
    def address(self) -> str:
        """The peer's."""
        assert self._transport is not None
        return str(self._transport.get_extra_info("peername")[0])

    async def ask(self, request: bytes) -> Answer:
        """Send a request and read its answer. Raises Stale, Malformed and OSError."""
        assert self._transport is not None
        self._received.clear()
        self._awaited = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            answer = await self._awaited
        finally:
            self._awaited, self._reused, self.used_at = None, True, time.monotonic()
        self.open = self.open and not answer.last
        return answer

    def close(self) -> None:
        """At once: nobody waits for a receiver that does not read."""
        self.open = False
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        self._received += self._space[:nbytes]
        if self._awaited is None:
            self.open = False  # speaks without being asked
        elif not self._awaited.done():
            try:
                answer = read(self._received)
            except Malformed as fault:
                self._awaited.set_exception(fault)
            else:
                if answer:
                    self._awaited.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.open = False
        if self._awaited and not self._awaited.done():
            self._awaited.set_exception(self._loss())

    def _loss(self) -> Exception:
        if self._received:
            return Malformed("The receiver closed the connection in the middle of its answer.")
        return Stale() if self._reused else Malformed("The receiver closed the connection without an answer.")


async def connect(address: str, port: int, tls: ssl.SSLContext | None = None, name: str | None = None) -> Connection:
    """A new connection to one address; `name` is what its certificate must say."""
    loop = asyncio.get_running_loop()
    hostname = name if tls else None
    return (await loop.create_connection(Connection, address, port, ssl=tls, server_hostname=hostname))[1]


def read(received: bytearray) -> Answer | None:
    """The answer that begins with these bytes; None while it is not complete. Raises Malformed."""
    end = received.find(_HEAD_END)
    if end < 0:
        if len(received) > _LONGEST_HEAD:
            raise Malformed(f"The head of the answer is longer than {_LONGEST_HEAD:,} bytes.")
        return None
    head = bytes(received[: end + 2])
    if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
        raise Malformed("The answer is not HTTP/1.1.")
    status = int(head[9:12])
    if status < 200:
        # 1xx announce an answer that is still to come.
        del received[: end + 4]
        return read(received)
    body, last = _body(status, head, received[end + 4 :])
    if body is None:
        return None
    closing = head.startswith(b"HTTP/1.0") or _CLOSING.search(head) is not None
    return Answer(status, body[:SHOWN_BYTES].decode(errors="replace"), last or closing)


def _body(status: int, head: bytes, rest: bytearray) -> tuple[bytearray | None, bool]:
    """(the body, or None while it is not complete; whether more of it may follow that nobody reads)"""
    if status in (204, 304):
        return bytearray(), False
    if _CHUNKED.search(head):
        return _chunks(rest)
    length = _LENGTH.search(head)
    if length is None or int(length[1]) > _READ_BYTES:
        # The end of the connection would be its end, or it is very long: its beginning is enough.
        return rest, True
    return (rest, False) if len(rest) >= int(length[1]) else (None, False)


def _chunks(rest: bytearray) -> tuple[bytearray | None, bool]:
    body, at = bytearray(), 0
    while len(body) <= _READ_BYTES:
        line = rest.find(b"\r\n", at)
        if line < 0:
            return None, False
        try:
            size = int(rest[at:line].split(b";")[0], 16)
        except ValueError:
            raise Malformed("The answer is cut into chunks, and one has no size.") from None
        at = line + 2 + size + 2
        if len(rest) < at:
            # A chunk that is too long to be waited for ends what is read.
            return (body + rest[line + 2 :], True) if size > _READ_BYTES else (None, False)
        if size == 0:
            return body, False
        body += rest[line + 2 : at - 2]
    return body, True
