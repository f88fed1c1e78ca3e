"""Which rows were seen: 64-bit hashes with the line of their first row, in little memory whatever the file.

A dict for the rows of most files; for more, an open-addressing table with linear probing, 12 bytes a slot and at most
two thirds full; beyond its limit, further hashes go into a private SQLite file that SQLite deletes. Of 10 million
rows, two different ones share a hash with a probability of 3e-6 (n²/2^65).
"""

import sqlite3
from array import array

MOST_IN_MEMORY = 10_000_000
# About 50 MB.
MOST_IN_DICT = 400_000
_PAGE_CACHE_KIB = 64 * 1024
_64_BITS = (1 << 64) - 1
# Slots of the table when it is made.
_SMALLEST = 1 << 12


class RowHashes:
    """in_dict, in_memory: how many hashes the dict takes, and how many stay out of the file."""

    def __init__(self, in_dict: int = MOST_IN_DICT, in_memory: int = MOST_IN_MEMORY) -> None:
        self._dict: dict[int, int] | None = {}
        self._in_dict, self._in_memory = min(in_dict, in_memory), in_memory
        self._spilled: sqlite3.Connection | None = None
        self._count = 0

    def __len__(self) -> int:
        if self._dict is not None:
            return len(self._dict)
        spilled = self._spilled.execute("SELECT COUNT(*) FROM row").fetchone()[0] if self._spilled else 0
        return self._count + spilled

    @property
    def spilled(self) -> bool:
        """Whether there is a file."""
        return self._spilled is not None

    def add(self, row_hash: int, line: int) -> int:
        """Note a row; 0 when it is new, else the line (from 1) on which it was seen first."""
        if self._dict is None:
            return self._add_to_table(row_hash, line)
        known = len(self._dict)
        first = self._dict.setdefault(row_hash, line)
        if len(self._dict) == known:
            return first
        if known == self._in_dict:
            del self._dict[row_hash]
            self._leave_dict(self._dict)
            return self._add_to_table(row_hash, line)
        return 0

    def line_of(self, row_hash: int) -> int:
        """The line (from 1) on which a row was seen first; 0 when it was not."""
        if self._dict is not None:
            return self._dict.get(row_hash, 0)
        key = row_hash & _64_BITS or 1
        slot = self._slot(key)
        if self._keys[slot]:
            return self._lines[slot]
        return self._line_in_file(key) if self._spilled else 0

    def close(self) -> None:
        """Give up the file, if there is one. The hashes must not be used after."""
        if self._spilled:
            self._spilled.close()

    def _leave_dict(self, known: dict[int, int]) -> None:
        self._dict = None
        self._make(_SMALLEST)
        for row_hash, line in known.items():
            self._add_to_table(row_hash, line)

    def _make(self, slots: int) -> None:
        # Not from `bytes`, which would be as large and live as long as the array is made.
        self._keys = array("Q", [0]) * slots
        self._lines = array("I", [0]) * slots
        self._mask = slots - 1
        self._most = slots * 2 // 3

    def _slot(self, key: int) -> int:
        """Where a key is, or would be."""
        keys, mask = self._keys, self._mask
        slot = key & mask
        # A slot of 0 is free.
        while (found := keys[slot]) and found != key:
            slot = (slot + 1) & mask
        return slot

    def _add_to_table(self, row_hash: int, line: int) -> int:
        key = row_hash & _64_BITS or 1
        slot = self._slot(key)
        if self._keys[slot]:
            return self._lines[slot]
        if self._count >= self._in_memory:
            return self._add_to_file(key, line)
        self._keys[slot], self._lines[slot] = key, line
        self._count += 1
        if self._count > self._most:
            self._grow()
        return 0

    def _grow(self) -> None:
        old = zip(self._keys, self._lines, strict=True)
        self._make(2 * len(self._keys))
        for key, line in old:
            if key:
                slot = self._slot(key)
                self._keys[slot], self._lines[slot] = key, line

    def _add_to_file(self, key: int, line: int) -> int:
        if self._spilled is None:
            self._spilled = _private_file()
        added = self._spilled.execute("INSERT OR IGNORE INTO row VALUES (?, ?)", (_signed(key), line)).rowcount
        return 0 if added else self._line_in_file(key)

    def _line_in_file(self, key: int) -> int:
        assert self._spilled is not None
        found = self._spilled.execute("SELECT line FROM row WHERE hash = ?", (_signed(key),)).fetchone()
        return found[0] if found else 0


def _private_file() -> sqlite3.Connection:
    """An empty name makes a temporary database that lies on disk once it outgrows its cache (sqlite.org/inmemorydb)."""
    file = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    file.execute("PRAGMA journal_mode = OFF")
    file.execute("PRAGMA synchronous = OFF")
    file.execute(f"PRAGMA cache_size = -{_PAGE_CACHE_KIB}")
    file.execute("CREATE TABLE row (hash INTEGER PRIMARY KEY, line INTEGER) WITHOUT ROWID")
    file.execute("BEGIN")
    return file


def _signed(key: int) -> int:
    return key - (1 << 64) if key >> 63 else key
