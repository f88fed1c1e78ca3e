"""A channel's JSONL files: checked as a whole, then read row by row. A wrong row stops the run and is named by line."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from luthier.datasets.findings import ERROR, BadRow
from luthier.datasets.lines import MAX_LINE_BYTES
from luthier.datasets.report import Report
from luthier.datasets.row_hashes import RowHashes
from luthier.datasets.rows import Row, parse_row
from trainer import log
from trainer.failures import Failure
from trainer.templates import Rendered

FINDINGS_SHOWN = 10
# Enough to keep a tokenizer's threads busy, and few enough to hold.
BATCH_ROWS = 1_000
BATCH_CHARACTERS = 750_000
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Place:
    """A row and where it stands; lines count from 1. part: what it is for, train or validation; bytes: of its line."""

    path: Path
    line: int
    row: Row
    part: str = ""
    bytes: int = 0

    def __str__(self) -> str:
        return f"{self.path.name} line {self.line}"


@dataclass(frozen=True)
class Survey:
    """A channel that was found good. overlap: how many of its rows are among those it was compared with."""

    rows: int
    hashes: RowHashes
    overlap: int


@dataclass(frozen=True)
class Channel:
    """The .jsonl files of a folder, in order of name. tolerated: share of its lines that may be bad and are skipped."""

    name: str
    paths: tuple[Path, ...]
    tolerated: float = 0.0

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the files' bytes, one after the other."""
        digest = hashlib.sha256()
        for path in self.paths:
            for chunk in chunks(path):
                digest.update(chunk)
        return digest.hexdigest()

    def places(self, method: str | None = None) -> Iterator[Place]:
        """Every good row. Raises BadRow at a bad line where none is tolerated; a surveyed channel has none then."""
        for path in self.paths:
            form = None
            for place in self._places(path, method):
                # As the survey counts them: the first good row decides the file's format.
                form = form or place.row.format
                if not self.tolerated or place.row.format == form:
                    yield place

    def _places(self, path: Path, method: str | None) -> Iterator[Place]:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if not line.strip() or (self.tolerated and len(line) > MAX_LINE_BYTES):
                    continue
                try:
                    row = parse_row(line, number, method)
                except BadRow:
                    if not self.tolerated:
                        raise
                    continue
                yield Place(path, number, row, bytes=len(line))

    def survey(self, method: str, against: RowHashes | None = None) -> Survey:
        """Check every line. Raises Failure(bad_dataset) that names what is wrong, also columns of another method."""
        hashes = RowHashes()
        reports = {path: _report(path, Report(method, against, hashes=hashes)) for path in self.paths}
        problems = [problem for path, report in reports.items() for problem in _problems(path, report)]
        if problems and not self._tolerates(reports.values()):
            raise Failure("bad_dataset", " ".join(problems))
        if bad := sum(report.bad_lines for report in reports.values()):
            log.warning("bad lines are skipped", channel=self.name, lines=bad, first=problems[:1])
        formats = {report.format: path.name for path, report in reports.items()}
        if len(formats) > 1:
            found = ", ".join(f"{name} has the format {form}" for form, name in formats.items())
            raise Failure("bad_dataset", f"The files of {self.name} differ: {found}.")
        rows = sum(report.rows for report in reports.values())
        return Survey(rows, hashes, sum(report.counts["overlap"] for report in reports.values()))

    def _tolerates(self, reports: Iterable[Report]) -> bool:
        return all(
            report.rows and report.bad_lines <= self.tolerated * (report.rows + report.bad_lines) for report in reports
        )


def open_channel(folder: Path, tolerated: float = 0.0) -> Channel | None:
    """None if the folder has no .jsonl file or does not exist."""
    paths = tuple(sorted(folder.glob("*.jsonl")))
    return Channel(folder.name, paths, tolerated) if paths else None


def batches(rendered: Iterable[tuple[Place, list[Rendered]]]) -> Iterator[list[tuple[Place, list[Rendered]]]]:
    """What is tokenized at once: rows of one format, as long as they are few and short enough to hold."""
    batch: list[tuple[Place, list[Rendered]]] = []
    characters = 0
    for place, texts in rendered:
        if batch and (place.row.format != batch[0][0].row.format or len(batch) == BATCH_ROWS):
            yield batch
            batch, characters = [], 0
        batch.append((place, texts))
        # A line may have more than its texts, and a template may show them often.
        characters += max(place.bytes, sum(len(one.text) for one in texts))
        if characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def chunks(path: Path) -> Iterator[bytes]:
    """A file of any size, piece by piece."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def _report(path: Path, report: Report) -> Report:
    for chunk in chunks(path):
        report.feed(chunk)
    return report.close()


def _problems(path: Path, report: Report) -> Iterator[str]:
    errors = [finding for finding in report.findings if finding.level == ERROR]
    for finding in errors[:FINDINGS_SHOWN]:
        yield f"{path.name} line {finding.line} {finding.pointer}: {finding.message}".replace(" :", ":")
    if (more := sum(report.errors.values()) - FINDINGS_SHOWN) > 0:
        yield f"and {more} more in {path.name}"
