"""Lists that fetch their next page when it is reached, by offset or by the id to go on after."""

from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from luthier.client.flows import Async, Flow, Sync

Row = TypeVar("Row")
# The parameters that are known → a page.
Fetch = Callable[[dict[str, Any]], "Flow[Chunk[Any]]"]


@dataclass(frozen=True)
class Chunk(Generic[Row]):
    """The rows of one answer; `following`: the parameters of the next one, None at the end; `total`: if it is told."""

    rows: list[Row]
    following: dict[str, Any] | None
    total: int | None


def following(given: dict[str, Any], body: dict[str, Any], rows: list[Any]) -> dict[str, Any] | None:
    """The parameters of the page after `body`, which holds `rows` as they came."""
    counted = body.get("pagination") or body
    if "offset" in counted:
        offset = counted["offset"] + len(rows)
        more = counted.get("hasMore", offset < counted.get("count", 0))
        return {**given, "offset": offset} if more and rows else None
    if not (body.get("has_more") or body.get("hasMore")):
        return None
    last = body.get("last_id") or body.get("lastId") or (rows[-1].get("id") if rows else None)
    return {**given, "after": last} if last else None


def total(body: dict[str, Any]) -> int | None:
    return body.get("total", body.get("count"))


class _Unseen:
    """Leaves out rows that came before: what is created between two pages moves rows to the next one."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def of(self, rows: list[Row]) -> Iterator[Row]:
        for row in rows:
            identity = getattr(row, "id", None)
            if identity is None or identity not in self._seen:
                self._seen.add(str(identity))
                yield row


class Page(Generic[Row]):
    """The first page of a list. Going through it goes through all pages; `limit` is the size of one.

    What is created meanwhile shows no row twice. In lists by offset, rows that are deleted meanwhile can hide others.

    data: the rows of this page; total: of all pages, None where the server does not count.
    """

    def __init__(self, mode: Sync, fetch: Fetch, given: dict[str, Any]) -> None:
        self._mode, self._fetch = mode, fetch
        self._first: Chunk[Row] = mode.run(fetch(given))

    @property
    def data(self) -> list[Row]:
        return self._first.rows

    @property
    def total(self) -> int | None:
        return self._first.total

    def __iter__(self) -> Iterator[Row]:
        unseen, chunk = _Unseen(), self._first
        yield from unseen.of(chunk.rows)
        while chunk.following is not None:
            chunk = self._mode.run(self._fetch(chunk.following))
            yield from unseen.of(chunk.rows)

    def __repr__(self) -> str:
        return f"Page({self.data!r}, total={self.total})"


class AsyncPage(Generic[Row]):
    """The same, to go through with `async for`. Awaiting it fetches the first page, for `data` and `total`."""

    def __init__(self, mode: Async, fetch: Fetch, given: dict[str, Any]) -> None:
        self._mode, self._fetch, self._given = mode, fetch, given
        self._first: Chunk[Row] | None = None

    @property
    def data(self) -> list[Row]:
        return self._loaded().rows

    @property
    def total(self) -> int | None:
        return self._loaded().total

    def _loaded(self) -> Chunk[Row]:
        if self._first is None:
            raise RuntimeError("The list has not been fetched: write `page = await ….list()`, or use `async for`.")
        return self._first

    def __await__(self) -> Generator[Any, None, "AsyncPage[Row]"]:
        return self._load().__await__()

    async def _load(self) -> "AsyncPage[Row]":
        if self._first is None:
            self._first = await self._mode.run(self._fetch(self._given))
        return self

    async def __aiter__(self) -> AsyncIterator[Row]:
        unseen, chunk = _Unseen(), (await self._load())._loaded()
        for row in unseen.of(chunk.rows):
            yield row
        while chunk.following is not None:
            chunk = await self._mode.run(self._fetch(chunk.following))
            for row in unseen.of(chunk.rows):
                yield row
