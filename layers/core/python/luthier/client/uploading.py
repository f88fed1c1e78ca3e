"""Uploading a file by the way that fits its size: in one request, in parts, or straight to storage."""

import hashlib
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar

from luthier.client.core import Mode
from luthier.client.errors import InvalidRequest
from luthier.client.flows import Flow, Send
from luthier.client.resources import body_of, flow
from luthier.client.waiting import Waiting

Thing = TypeVar("Thing")
# Bytes: what one request carries, what one part of an upload carries, and what the parts of an upload make.
ONE_REQUEST, PART, IN_PARTS = 4_500_000, 4_000_000, 1024**3
_PIECE = 1024 * 1024


class Source:
    """What is uploaded: a path, bytes, or a file opened in binary mode; read from its beginning as often as need be."""

    def __init__(self, source: str | PathLike[str] | bytes | BinaryIO, filename: str | None) -> None:
        self._source = Path(source) if isinstance(source, str | PathLike) else source
        named = filename or self._source.name if isinstance(self._source, Path) else filename
        self.name = named or Path(str(getattr(source, "name", "data.jsonl"))).name
        self.size = self._measure()

    def _measure(self) -> int:
        if isinstance(self._source, Path):
            return self._source.stat().st_size
        if isinstance(self._source, bytes):
            return len(self._source)
        if not (hasattr(self._source, "seekable") and self._source.seekable()) or hasattr(self._source, "encoding"):
            raise InvalidRequest(
                "What is uploaded must be a path, bytes, or a file opened in binary mode.",
                field="file",
                remedy='Open it with open(…, "rb"), or pass its path.',
            )
        return self._source.seek(0, 2)

    def pieces(self, size: int) -> Iterator[bytes]:
        """All of it, `size` bytes at a time."""
        if isinstance(self._source, bytes):
            yield from (self._source[at : at + size] for at in range(0, len(self._source), size))
        elif isinstance(self._source, Path):
            with self._source.open("rb") as file:
                yield from _read(file, size)
        else:
            self._source.seek(0)
            yield from _read(self._source, size)

    def whole(self) -> bytes:
        return b"".join(self.pieces(_PIECE))

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces(_PIECE)


def _read(file: BinaryIO, size: int) -> Iterator[bytes]:
    while piece := file.read(size):
        yield piece


class Uploading(Waiting[Mode, Thing], Generic[Mode, Thing]):
    """The part of `client.files` that uploads."""

    @flow
    def upload(
        self,
        file: str | PathLike[str] | bytes | BinaryIO,
        *,
        purpose: str = "fine-tune",
        filename: str | None = None,
        expires_after: int | None = None,
        idempotency_key: str | None = None,
    ) -> Flow[Thing]:
        """Upload a JSONL file of up to 5 GB and let it be checked.

        Up to 4.5 MB go in one request, up to 1 GB in parts, more straight to storage. Above 100 MB the file comes back
        as `uploaded`, and `wait()` on it returns when it has been checked.

        file: a path, bytes, or a file opened in binary mode; purpose: fine-tune, evals or batch; filename: the path's
        by default; expires_after: seconds, one hour to 30 days, for up to 1 GB; idempotency_key: a repeated upload with
        the same key is the same file.
        """
        source = Source(file, filename)
        after = {"anchor": "created_at", "seconds": expires_after} if expires_after is not None else None
        if source.size <= ONE_REQUEST:
            sent = yield from self._in_one_request(source, purpose, after, idempotency_key)
        elif source.size <= IN_PARTS:
            sent = yield from self._in_parts(source, purpose, after, idempotency_key)
        elif after is not None:
            raise InvalidRequest(
                f"A file of {source.size:,} bytes cannot expire by itself; up to {IN_PARTS:,} bytes can.",
                field="expires_after",
                remedy="Leave expires_after out, and delete the file when it is no longer needed.",
            )
        else:
            sent = yield from self._to_storage(source, purpose, idempotency_key)
        return sent

    def _in_one_request(self, source: Source, purpose: str, after: dict[str, Any] | None, key: str | None) -> Flow[Any]:
        fields = {"purpose": purpose, **{f"expires_after[{name}]": str(told) for name, told in (after or {}).items()}}
        body = {"data": fields, "files": {"file": (source.name, source.whole())}}
        response = yield from self._core.request("POST", "/v1/files", body=body, idempotency_key=key)
        return self._read("get", body_of(response))

    def _in_parts(self, source: Source, purpose: str, after: dict[str, Any] | None, key: str | None) -> Flow[Any]:
        facts = {"filename": source.name, "purpose": purpose, "bytes": source.size, "mime_type": "text/jsonl"}
        body = {"json": facts | ({"expires_after": after} if after else {})}
        response = yield from self._core.request("POST", "/v1/uploads", body=body, idempotency_key=key)
        told = body_of(response)
        if told["file"]:
            return self._read("get", told["file"])
        upload, parts, md5 = f"/v1/uploads/{told['id']}", [], hashlib.md5(usedforsecurity=False)
        for piece in source.pieces(PART):
            md5.update(piece)
            added = yield from self._core.request("POST", f"{upload}/parts", body={"files": {"data": ("part", piece)}})
            parts.append(body_of(added)["id"])
        done = {"json": {"part_ids": parts, "md5": md5.hexdigest()}}
        completed = yield from self._core.request("POST", f"{upload}/complete", body=done)
        return self._read("get", body_of(completed)["file"])

    def _to_storage(self, source: Source, purpose: str, key: str | None) -> Flow[Any]:
        facts = {"filename": source.name, "purpose": purpose, "bytes": source.size}
        begun = yield from self._core.request("POST", "/v1/files/presigned", body={"json": facts}, idempotency_key=key)
        told = body_of(begun)
        # The address is a permission by itself: the key goes to nobody else.
        to = told["upload"]
        put = Send(to["method"], to["url"], to["headers"], {"content": source}, {}, self._core.timeout)
        try:
            yield from self._core.send(put)
        except InvalidRequest as refused:
            # The address takes content once: an earlier try has arrived, and only its answer was lost.
            if refused.status != 412:
                raise
        return (yield from self._flow("complete", told["file"]["id"]))
