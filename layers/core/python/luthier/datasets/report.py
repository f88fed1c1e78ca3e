"""Reads a training file as it streams by and says all that is wrong with it.

Memory stays small whatever the file: one line, the kept findings, and a hash per row.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

from luthier.datasets.cautions import cautions, secrets
from luthier.datasets.findings import WARNINGS, BadRow, Fault, Finding
from luthier.datasets.formats import mixed_formats
from luthier.datasets.identities import identity
from luthier.datasets.lines import MAX_LINE_BYTES, LineCutter
from luthier.datasets.plain_rows import Reader, can_be_own_key, own_keys_of, reader
from luthier.datasets.row_hashes import RowHashes
from luthier.datasets.rows import Row, parse_row
from luthier.datasets.secret_patterns import places_to_look

KEPT_PER_CODE = 1_000
MAX_IGNORED_KEYS = 50
MAX_KEY_CHARACTERS = 80
# The rule of thumb of byte-pair tokenizers on prose; the trainer reports the true count.
BYTES_PER_TOKEN = 4
# What a chat template adds around each text.
TOKENS_PER_TEXT = 4

_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_UTF_16_BEGINNING = 8
# After so many rows that are not plain, one after the other, no further one is expected.
_PATIENCE = 64


class Report:
    """Feed it the file in chunks of any size, then close it.

    method: one of FORMATS_OF_METHOD, whose columns the rows must have; against: the hashes of the training file, for
    one that must not repeat it.

    rows: lines that can be trained on; bad_lines: lines with an error; counts: exact number of findings per code;
    findings: at most KEPT_PER_CODE of each code, in file order; tokens, longest_row_tokens: estimates; ignored_keys:
    keys beside the format's, with the number of rows that have them; bytes, sha256 (hex): of the file as it came;
    hashes: of its rows.
    """

    def __init__(
        self,
        method: str | None = None,
        against: RowHashes | None = None,
        hashes: RowHashes | None = None,
    ) -> None:
        self.format: str | None = None
        self.bytes = self.lines = self.blank_lines = self.rows = 0
        self.bad_lines = self.characters = self.tokens = self.longest_row_tokens = 0
        self.counts: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.ignored_keys: Counter[str] = Counter()
        self.hashes = RowHashes() if hashes is None else hashes
        self._method, self._against = method, against
        self._digest = hashlib.sha256()
        self._cutter = LineCutter()
        self._read: Reader | None = None
        self._own_keys: tuple[str, ...] = ()
        self._has_more = False
        self._patience = _PATIENCE
        self._labels: set[bool] = set()
        self._is_utf_16 = False

    @property
    def ok(self) -> bool:
        """Whether the file can be trained on; it may have warnings."""
        return not self.errors

    @property
    def errors(self) -> dict[str, int]:
        """The counts of the codes that keep the file from being trained on."""
        return {code: count for code, count in self.counts.items() if code not in WARNINGS}

    @property
    def warnings(self) -> int:
        return self.counts.total() - sum(self.errors.values())

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file; they may end anywhere, even inside a character."""
        self._digest.update(chunk)
        self.bytes += len(chunk)
        for block, length in self._cutter.feed(chunk):
            self._block(block, length)

    def close(self) -> "Report":
        """Take the last line, which may lack its line break, and judge the file as a whole."""
        for block, length in self._cutter.close():
            self._block(block, length)
        if not self.lines - self.blank_lines:
            self.add(Fault("empty_file", "", "The file has no rows.", "Write one JSON object per line."), 0)
        if len(self._labels) == 1:
            label = str(*self._labels).lower()
            text = f"Every row has the label {label}; the method learns from the difference to the other."
            self.add(Fault("one_label", "", text, "Add rows with the other label."), 0)
        return self

    def _block(self, block: bytes, length: int) -> None:
        if length > MAX_LINE_BYTES:
            self.lines += 1
            text = f"The line is {length} bytes long; the limit is {MAX_LINE_BYTES}."
            self._refuse([Fault("line_too_long", "", text, "Split the row, or check the line breaks.")])
            return
        self._lines(block, [*places_to_look(block), length])

    def _lines(self, block: bytes, places: list[int]) -> None:
        """Judge the lines of a block; `places` is where to look for secrets, and the block's end.

        Plain rows are counted right here, because for short rows the calls would cost more than the work.
        """
        start = place = rows = characters = tokens = longest = 0
        number = self.lines
        while (end := block.find(b"\n", start)) >= 0:
            line, start = block[start:end], end + 1
            number += 1
            plain = self._read(line) if self._read else None
            if plain is None or places[place] < end:
                self.lines = number
                self._line(line)
                while places[place] < end:
                    place += 1
                continue
            row_hash, text, size, texts, row = plain
            rows += 1
            characters += len(text)
            estimate = -(-size // BYTES_PER_TOKEN) + TOKENS_PER_TEXT * texts
            tokens += estimate
            if estimate > longest:
                longest = estimate
            self._note_repetition(row_hash, number)
            if self._has_more:
                self._note_more(row)
            self._patience = _PATIENCE
        self.lines = number
        self._count(rows, characters, tokens, longest)

    def _note_more(self, row: Any) -> None:
        """Note what few files have: columns of their own, and labels."""
        self._note_ignored(own_keys_of(row, self._own_keys))
        if self.format == "unpaired":
            self._labels.add(row.label)

    def _line(self, line: bytes) -> None:
        if not line.strip():
            self.blank_lines += 1
        elif self._is_utf_16:
            # The first finding is about all lines.
            self.bad_lines += 1
        elif self.lines == 1 and _begins_utf_16(line):
            self._is_utf_16 = True
            self._refuse([Fault("invalid_utf8", "", "The file is encoded as UTF-16.", "Save the file as UTF-8.")])
        else:
            try:
                self._row(parse_row(line, self.lines, self._method))
            except BadRow as bad:
                self.bad_lines += 1
                self._keep(bad.findings)
            self._hurry()

    def _hurry(self) -> None:
        """Read plain rows fast once the format is known, as long as the file has them."""
        self._patience -= 1
        if self._patience < 0:
            self._read = None
        elif self._read is None and self.format:
            self._own_keys = tuple(filter(can_be_own_key, self.ignored_keys))
            self._read = reader(self.format, self._own_keys)
            self._has_more = bool(self._own_keys) or self.format == "unpaired"

    def _row(self, row: Row) -> None:
        if self.format and row.format != self.format:
            self._refuse([mixed_formats(row.format, self.format)])
            return
        self.format = row.format
        texts = row.texts
        size = sum(len(text) if text.isascii() else len(text.encode()) for text in texts)
        tokens = -(-size // BYTES_PER_TOKEN) + TOKENS_PER_TEXT * len(texts)
        self._count(1, sum(map(len, texts)), tokens, tokens)
        self._note_repetition(identity(row), self.lines)
        self._note_ignored(row.ignored_keys)
        if row.format == "unpaired":
            self._labels.add(row.fields["label"])
        for fault in (*cautions(row), *secrets(row)):
            self.add(fault, self.lines)

    def _count(self, rows: int, characters: int, tokens: int, longest: int) -> None:
        self.rows += rows
        self.characters += characters
        self.tokens += tokens
        self.longest_row_tokens = max(self.longest_row_tokens, longest)

    def _note_repetition(self, row_hash: int, line: int) -> None:
        if first := self.hashes.add(row_hash, line):
            self.add(Fault("duplicate_row", "", f"The row repeats line {first}.", "Drop one of the two."), line)
        if self._against is not None and (first := self._against.line_of(row_hash)):
            text = f"The row is also line {first} of the training file: what it measures was learned by heart."
            self.add(Fault("overlap", "", text, "Drop the row from one of the two files."), line)

    def _note_ignored(self, keys: Iterable[str]) -> None:
        for key in keys:
            name = key[:MAX_KEY_CHARACTERS].encode("utf-8", "replace").decode() or "(empty)"
            # Bounded, because a file whose every row has keys of its own must not fill the memory.
            if len(self.ignored_keys) < MAX_IGNORED_KEYS or name in self.ignored_keys:
                self.ignored_keys[name] += 1

    def add(self, fault: Fault, line: int) -> None:
        """Note what else was found, by somebody who reads the same file."""
        self._keep([fault.at(line)])

    def _refuse(self, faults: list[Fault]) -> None:
        self.bad_lines += 1
        for fault in faults:
            self.add(fault, self.lines)

    def _keep(self, findings: list[Finding]) -> None:
        for finding in findings:
            self.counts[finding.code] += 1
            if self.counts[finding.code] <= KEPT_PER_CODE:
                self.findings.append(finding)


def _begins_utf_16(line: bytes) -> bool:
    """Whether a file's first line has UTF-16's mark, or a zero in one half of every character at its beginning."""
    halves = [set(line[start:_UTF_16_BEGINNING:2]) for start in (0, 1)]
    return line.startswith(_UTF_16_MARKS) or (halves.count({0}) == 1 and all(halves))


def examine(chunks: Iterable[bytes], method: str | None = None, against: RowHashes | None = None) -> Report:
    """The report over a whole file: an open binary file, an S3 body's chunks, or a list of byte strings."""
    report = Report(method, against)
    for chunk in chunks:
        report.feed(chunk)
    return report.close()
