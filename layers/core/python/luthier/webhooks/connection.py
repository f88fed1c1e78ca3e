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
# A body in more pieces than this is not read to its end: each piece is looked at again with every packet.
_MOST_CHUNKS = 100
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([^\r]*?)[ \t]*\r", re.IGNORECASE)
# int() would take signs, underscores and prefixes too, and thousands of digits.
_DECIMAL, _HEXADECIMAL = re.compile(rb"[0-9]{1,15}"), re.compile(rb"[0-9a-fA-F]{1,15}")
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
            except Exception as fault:
                # The bytes are the receiver's: whatever they break is its fault, and nobody else's.
                known = isinstance(fault, Malformed)
                self._awaited.set_exception(fault if known else Malformed(f"The answer cannot be read: {fault!r}."))
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
    head = _head(received)
    # 1xx announce an answer that is still to come.
    while head and 100 <= _status(head) < 200:
        del received[: len(head) + 2]
        head = _head(received)
    if head is None:
        return None
    status = _status(head)
    body, last = _body(status, head, received[len(head) + 2 :])
    if body is None:
        return None
    closing = head.startswith(b"HTTP/1.0") or _CLOSING.search(head) is not None
    return Answer(status, body[:SHOWN_BYTES].decode(errors="replace"), last or closing)


def _head(received: bytearray) -> bytes | None:
    """The first head with the line break of its last line; None while it is not complete."""
    end = received.find(_HEAD_END)
    if (len(received) if end < 0 else end) > _LONGEST_HEAD:
        raise Malformed(f"The head of the answer is longer than {_LONGEST_HEAD:,} bytes.")
    return bytes(received[: end + 2]) if end >= 0 else None


def _status(head: bytes) -> int:
    if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit() or head[9:10] == b"0":
        raise Malformed("The answer is not HTTP/1.1.")
    return int(head[9:12])


def _body(status: int, head: bytes, rest: bytearray) -> tuple[bytearray | None, bool]:
    """(the body, or None while it is not complete; whether more of it may follow that nobody reads)"""
    if status in (204, 304):
        return bytearray(), False
    if _CHUNKED.search(head):
        return _chunks(rest)
    found = _LENGTH.search(head)
    if found and not _DECIMAL.fullmatch(found[1]):
        raise Malformed("The answer's Content-Length is no number of bytes.")
    if found is None or int(found[1]) > _READ_BYTES:
        # The end of the connection would be its end, or it is very long: its beginning is enough.
        return rest, True
    return (rest, False) if len(rest) >= int(found[1]) else (None, False)


def _chunks(rest: bytearray) -> tuple[bytearray | None, bool]:
    body, at = bytearray(), 0
    for _ in range(_MOST_CHUNKS):
        line = rest.find(b"\r\n", at)
        if line < 0:
            return (body, True) if len(rest) > _READ_BYTES else (None, False)
        size = _HEXADECIMAL.fullmatch(rest[at:line].split(b";")[0].rstrip(b" \t"))
        if size is None:
            raise Malformed("The answer is cut into chunks, and one has no size.")
        length = int(size[0], 16)
        at = line + 2 + length + 2
        if len(rest) < at:
            # What is too long to be waited for ends what is read.
            return (body + rest[line + 2 :], True) if max(length, at) > _READ_BYTES else (None, False)
        if length == 0:
            return body, False
        body += rest[line + 2 : at - 2]
    return body, True
