"""Reads a training file as it streams by and says all that is wrong with it.

Memory stays small whatever the file: one line and the kept findings. Standard library only.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable

from luthier.datasets.rows import BadRow, Finding, Row, parse_row

KEPT_PER_CODE = 1_000
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_IGNORED_KEYS = 50
MAX_KEY_CHARACTERS = 80
# The rule of thumb of byte-pair tokenizers on prose; the trainer reports the true count.
BYTES_PER_TOKEN = 4
# What a chat template adds around each text.
TOKENS_PER_TEXT = 4

_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Report:
    """Feed it the file in chunks of any size, then close it.

    rows: lines that can be trained on; bad_lines: lines with a finding; counts: exact number of findings per code;
    findings: at most KEPT_PER_CODE of each code, in file order; tokens, longest_row_tokens: estimates; ignored_keys:
    keys beside the format's, with the number of rows that have them; bytes, sha256 (hex): of the file as it came.
    """

    def __init__(self) -> None:
        self.format: str | None = None
        self.bytes = self.lines = self.blank_lines = self.rows = 0
        self.bad_lines = self.characters = self.tokens = self.longest_row_tokens = 0
        self.counts: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.ignored_keys: Counter[str] = Counter()
        self._digest = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._pending = 0

    @property
    def ok(self) -> bool:
        return not self.counts

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file; they may end anywhere, even inside a character."""
        self._digest.update(chunk)
        self.bytes += len(chunk)
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._keep(chunk[start:end])
            self._end_line()
            start = end + 1
        self._keep(chunk[start:])

    def close(self) -> "Report":
        """Take the last line, which may lack its line break, and judge the file as a whole."""
        if self._pending:
            self._end_line()
        if not self.lines - self.blank_lines:
            fix = "Write one JSON object per line."
            self._add(Finding(0, "empty_file", "", "The file has no rows.", fix))
        return self

    def _keep(self, piece: bytes) -> None:
        if self._pending <= MAX_LINE_BYTES:
            self._pieces.append(piece)
        self._pending += len(piece)

    def _end_line(self) -> None:
        line, length = b"".join(self._pieces), self._pending
        self._pieces, self._pending = [], 0
        self.lines += 1
        before = self.counts.total()
        if length > MAX_LINE_BYTES:
            message = f"The line is {length} bytes long; the limit is {MAX_LINE_BYTES}."
            self._add(Finding(self.lines, "line_too_long", "", message, "Split the row, or check the line breaks."))
        elif self.lines == 1 and line.startswith(_UTF_16_MARKS):
            self._add(Finding(1, "invalid_utf8", "", "The file is encoded as UTF-16.", "Save the file as UTF-8."))
        else:
            self._line(line)
        self.bad_lines += self.counts.total() > before

    def _line(self, line: bytes) -> None:
        if not line.strip():
            self.blank_lines += 1
            return
        try:
            row = parse_row(line, self.lines)
        except BadRow as bad:
            for finding in bad.findings:
                self._add(finding)
        else:
            self._row(row)

    def _row(self, row: Row) -> None:
        self.format = self.format or row.format
        if row.format != self.format:
            message = f"The row has the format {row.format}, the file began with {self.format}."
            fix = f"Rewrite the row as {self.format}, or put it into a file of its own."
            self._add(Finding(self.lines, "mixed_formats", "", message, fix))
            return
        self.rows += 1
        self._note_ignored(row)
        texts = row.texts
        size = sum(len(text) if text.isascii() else len(text.encode()) for text in texts)
        tokens = -(-size // BYTES_PER_TOKEN) + TOKENS_PER_TEXT * len(texts)
        self.characters += sum(map(len, texts))
        self.tokens += tokens
        self.longest_row_tokens = max(self.longest_row_tokens, tokens)

    def _note_ignored(self, row: Row) -> None:
        for key in row.ignored_keys:
            name = key[:MAX_KEY_CHARACTERS].encode("utf-8", "replace").decode() or "(empty)"
            # Bounded, because a file whose every row has keys of its own must not fill the memory.
            if len(self.ignored_keys) < MAX_IGNORED_KEYS or name in self.ignored_keys:
                self.ignored_keys[name] += 1

    def _add(self, finding: Finding) -> None:
        self.counts[finding.code] += 1
        if self.counts[finding.code] <= KEPT_PER_CODE:
            self.findings.append(finding)


def examine(chunks: Iterable[bytes]) -> Report:
    """The report over a whole file: an open binary file, an S3 body's chunks, or a list of byte strings."""
    report = Report()
    for chunk in chunks:
        report.feed(chunk)
    return report.close()
