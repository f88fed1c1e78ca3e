"""Pages of list rows by offset: what the lists of all nouns have in common."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Any, Generic, TypeVar

from luthier import table
from luthier.errors import InvalidRequest

Row = TypeVar("Row")

MAX_LIMIT = 100
# Rows that one query of an index reads at most; a slim one has about 300 bytes, and a query ends at 1 MB.
_LARGEST_READ = 1_000


@dataclass(frozen=True)
class Page(Generic[Row]):
    """`count` is the number of all matches."""

    rows: list[Row]
    count: int
    limit: int
    offset: int

    @property
    def has_more(self) -> bool:
        return self.offset + self.limit < self.count


def check(limit: int, offset: int) -> None:
    """Raises InvalidRequest for a limit or an offset that is out of range."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(
            f"limit is {limit}; it must lie from 1 to {MAX_LIMIT}.", param="limit", remedy="Ask for more pages."
        )
    if offset < 0:
        raise InvalidRequest(f"offset is {offset}; it must not be negative.", param="offset", remedy="Start at 0.")


def page_size(limit: int, offset: int) -> int:
    """How many rows a query should read at once, so that no page reads more than it needs."""
    return min(offset + limit, _LARGEST_READ)


def merged(
    found: Iterable[Iterator[table.Item]], key: Callable[[table.Item], Any], *, ascending: bool
) -> Iterator[table.Item]:
    """Rows of several queries, each in order of `key`, in that order."""
    return merge(*found, key=key, reverse=not ascending)


def by(value: Callable[[table.Item], Any]) -> Callable[[table.Item], Any]:
    """A sort key. Rows without the value come last when descending, first when ascending; the id settles ties."""

    def key(row: table.Item) -> tuple[bool, Any, str]:
        known = value(row)
        comparable = "" if known is None else known.casefold() if isinstance(known, str) else known
        return known is not None, comparable, row["id"]

    return key
