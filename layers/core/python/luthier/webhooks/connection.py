"""One HTTP/1.1 connection to a receiver, as small as a webhook needs it: POST, read the answer, keep it open."""

import asyncio
import re
import time
from dataclasses import dataclass, field

# What is kept of an answer for the log, and how much of it is read so that the connection can be used again.
SHOWN_BYTES = 500
_READ_BYTES = 65_536
_LONGEST_HEAD = 16_384
_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_CLOSING = re.compile(rb"\r\nconnection:[^\r]*close", re.IGNORECASE)


class Malformed(Exception):
    """What came back is not HTTP."""


class Stale(Exception):
    """The receiver had closed the connection before it saw this request."""


@dataclass(frozen=True)
class Answer:
    status: int
    text: str


@dataclass
class Connection:
    """A connection whose address was checked when it was opened."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used_at: float = field(default_factory=time.monotonic)
    fresh: bool = True
    # Whether another request may follow.
    open: bool = True

    async def ask(self, request: bytes) -> Answer:
        """Send a request and read its answer. Raises Stale, Malformed and OSError."""
        reused, self.fresh = not self.fresh, False
        try:
            self.writer.write(request)
            await self.writer.drain()
            status, head = await self._head()
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            untouched = not getattr(error, "partial", b"")
            if reused and untouched:
                raise Stale from error
            raise Malformed("The receiver closed the connection without an answer.") from error
        body = await self._body(status, head)
        self.used_at = time.monotonic()
        return Answer(status, body[:SHOWN_BYTES].decode(errors="replace"))

    def close(self) -> None:
        self.open = False
        self.writer.close()

    async def _head(self) -> tuple[int, bytes]:
        while True:
            try:
                head = await self.reader.readuntil(_HEAD_END)
            except asyncio.LimitOverrunError:
                raise Malformed(f"The head of the answer is longer than {_LONGEST_HEAD:,} bytes.") from None
            if not head.startswith(b"HTTP/1.") or not head[9:12].isdigit():
                raise Malformed("The answer is not HTTP/1.1.")
            status = int(head[9:12])
            # 1xx announce an answer that is still to come.
            if status >= 200:
                return status, head

    async def _body(self, status: int, head: bytes) -> bytes:
        if _CLOSING.search(head) or head.startswith(b"HTTP/1.0"):
            self.open = False
        if status in (204, 304):
            return b""
        if _CHUNKED.search(head):
            return await self._chunks()
        length = _LENGTH.search(head)
        if length and int(length[1]) <= _READ_BYTES:
            return await self.reader.readexactly(int(length[1]))
        # Without a length the end of the connection is the end of the answer; nobody needs more than its beginning.
        self.open = False
        return await self.reader.read(SHOWN_BYTES)

    async def _chunks(self) -> bytes:
        body = b""
        while len(body) <= _READ_BYTES:
            try:
                size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
            except ValueError:
                raise Malformed("The answer is cut into chunks, and one has no size.") from None
            if size > _READ_BYTES:
                break
            chunk = await self.reader.readexactly(size + 2)
            if size == 0:
                return body
            body += chunk[:-2]
        self.open = False
        return body


async def connect(address: str, port: int, tls: object = None, name: str | None = None) -> Connection:
    """A new connection to one address; `name` is what its certificate must say."""
    reader, writer = await asyncio.open_connection(
        address,
        port,
        limit=_LONGEST_HEAD,
        ssl=tls,
        server_hostname=name if tls else None,
    )
    return Connection(reader, writer)
