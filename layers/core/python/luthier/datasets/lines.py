"""Cuts a stream of bytes into lines without ever holding more than one long line."""

from collections.abc import Iterator

MAX_LINE_BYTES = 4 * 1024 * 1024
_PIECE = 1024 * 1024


class LineCutter:
    """Feed it the stream in chunks of any size, then close it.

    Both give blocks: (bytes, length). A block ends with a line break and holds whole lines; one that is longer than
    MAX_LINE_BYTES is a single line of `length` bytes, and its bytes are only the beginning of it.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._pending = 0

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, int]]:
        for start in range(0, len(chunk), _PIECE):
            yield from self._feed(chunk[start : start + _PIECE])

    def close(self) -> Iterator[tuple[bytes, int]]:
        """The last line, if it lacks its line break."""
        if self._pending:
            yield self._line()

    def _feed(self, piece: bytes) -> Iterator[tuple[bytes, int]]:
        start, end = 0, piece.rfind(b"\n") + 1
        if end and self._pending:
            start = piece.find(b"\n")
            self._keep(piece[:start])
            start += 1
            yield self._line()
        if start < end:
            yield piece[start:end], end - start
        self._keep(piece[end:])

    def _keep(self, piece: bytes) -> None:
        if self._pending <= MAX_LINE_BYTES:
            self._pieces.append(piece)
        self._pending += len(piece)

    def _line(self) -> tuple[bytes, int]:
        line, length = b"".join(self._pieces) + b"\n", self._pending
        self._pieces, self._pending = [], 0
        return line, length
