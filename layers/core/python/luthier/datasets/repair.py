"""Makes a file that can be trained on from one that cannot, as it streams by.

What takes no judgement is corrected (`mending`), what cannot be corrected is dropped, repeated rows are too; nothing
else changes, not even the spelling of good lines.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from luthier.datasets.findings import BadRow, Fault
from luthier.datasets.identities import identity
from luthier.datasets.json_objects import parse_object
from luthier.datasets.lines import MAX_LINE_BYTES, LineCutter
from luthier.datasets.mending import mend, mend_json
from luthier.datasets.row_hashes import RowHashes
from luthier.datasets.rows import Row, parse_row

_MARK = b"\xef\xbb\xbf"


class Repair:
    """Iterate over `lines`, then read what was done.

    method: one of FORMATS_OF_METHOD, for a file that must fit it; refuses: gives the code of what makes a row useless
    that is good by itself, or nothing. kept: rows that were written; changed: those of them
    that were corrected; corrections: rows by kind of correction (`role`, `parts`, …); dropped: lines by the code of
    their first finding, with `blank_line` for those that had nothing.
    """

    def __init__(self, method: str | None = None, refuses: Callable[[Row], str] = lambda row: "") -> None:
        self.kept = self.changed = 0
        self.corrections: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._method, self._refuses = method, refuses
        self._format: str | None = None
        self._hashes = RowHashes()

    def lines(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The repaired file, line by line. If any line is left, `examine` finds no error in them."""
        cutter = LineCutter()
        for blocks in chain(map(cutter.feed, chunks), map(LineCutter.close, [cutter])):
            for block, length in blocks:
                if length > MAX_LINE_BYTES:
                    self.dropped["line_too_long"] += 1
                else:
                    yield from self._repaired(block)

    def _repaired(self, block: bytes) -> Iterator[bytes]:
        for line in block.split(b"\n")[:-1]:
            if not line.strip():
                self.dropped["blank_line"] += 1
                continue
            try:
                yield from self._kept(*self._good(line.strip().removeprefix(_MARK)))
            except BadRow as bad:
                self.dropped[bad.findings[0].code] += 1

    def _good(self, line: bytes) -> tuple[bytes, Row, set[str]]:
        """The line, corrected if it must be, its row, and the kinds of corrections. Raises BadRow."""
        try:
            return line, parse_row(line, method=self._method), set()
        except BadRow as bad:
            fields, corrections = _read(line, bad)
            corrections.update(mend(fields, self._method))
            if not corrections:
                raise
        line = _encoded(fields)
        return line, parse_row(line, method=self._method), corrections

    def _kept(self, line: bytes, row: Row, corrections: set[str]) -> Iterator[bytes]:
        if code := self._refuses(row):
            self.dropped[code] += 1
            return
        if self._format not in (None, row.format):
            self.dropped["mixed_formats"] += 1
            return
        self._format = row.format
        if self._hashes.add(identity(row), self.kept + 1):
            self.dropped["duplicate_row"] += 1
            return
        self.kept += 1
        self.changed += bool(corrections)
        self.corrections.update(corrections)
        yield line + b"\n"


def _read(line: bytes, bad: BadRow) -> tuple[dict[str, Any], set[str]]:
    """The object in a bad line, and whether its JSON had to be corrected. Raises `bad` if there is none."""
    try:
        return parse_object(line), set()
    except Fault:
        pass
    try:
        return parse_object(mend_json(line.decode())), {"json"}
    except (Fault, UnicodeDecodeError):
        raise bad from None


def _encoded(fields: object) -> bytes:
    try:
        return json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(fields).encode()
