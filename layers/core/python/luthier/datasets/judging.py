"""What the check of a file's content makes of the file, and the event that tells of it."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from hashlib import sha256
from typing import Any

from luthier import clock
from luthier.datasets import refusals
from luthier.datasets.content import DatasetContent
from luthier.datasets.entity import ERROR, PROCESSED, WITH_ROWS, Dataset
from luthier.datasets.report import Report, examine
from luthier.events.entity import Event, event

# In the table and in error bodies; the report holds more.
SHOWN_FINDINGS = 50


class Judge:
    def __init__(self, content: DatasetContent, now: clock.Clock) -> None:
        self._content = content
        self._now = now

    def judge(self, dataset: Dataset, chunks: Iterable[bytes]) -> Dataset:
        """The file with what its content, read once to its end, makes of it: `processed` or `error`."""
        judged = self._examined(dataset, chunks) if dataset.purpose in WITH_ROWS else _measured(dataset, chunks)
        return replace(judged, unchecked=False, due=judged.expires_at)

    def rejected(self, dataset: Dataset, why: str) -> Dataset:
        """The file whose content cannot be had as it was meant to be."""
        return replace(dataset, status=ERROR, status_details=why, unchecked=False, due=dataset.expires_at)

    def verdict(self, dataset: Dataset) -> Event | None:
        """What is reported of a file; nothing of one that holds no rows, and nobody refers to it by its name."""
        if dataset.purpose not in WITH_ROWS:
            return None
        facts = {"fileId": dataset.id, "filename": dataset.filename, "rows": dataset.rows}
        return event(
            "dataset.validated" if dataset.status == PROCESSED else "dataset.rejected",
            dataset.organization_id,
            clock.iso(self._now()),
            facts | {"badLines": dataset.bad_lines, "message": dataset.status_details},
        )

    def _examined(self, dataset: Dataset, chunks: Iterable[bytes]) -> Dataset:
        report = examine(chunks)
        report.hashes.close()
        # Errors first: what is shown of many findings must say why the file cannot be trained on.
        findings = [asdict(finding) for finding in sorted(report.findings, key=lambda finding: finding.level)]
        if len(findings) > SHOWN_FINDINGS:
            self._content.write_findings(dataset, findings)
        return _judged(dataset, report, findings[:SHOWN_FINDINGS])


def _judged(dataset: Dataset, report: Report, findings: list[dict[str, Any]]) -> Dataset:
    return replace(
        dataset,
        status=PROCESSED if report.ok else ERROR,
        bytes=report.bytes,
        sha256=report.sha256,
        format=report.format,
        rows=report.rows,
        bad_lines=report.bad_lines,
        blank_lines=report.blank_lines,
        characters=report.characters,
        tokens=report.tokens,
        longest_row_tokens=report.longest_row_tokens,
        findings_count=report.counts.total(),
        warnings_count=report.warnings,
        counts=dict(report.counts),
        findings=findings,
        ignored_keys=dict(report.ignored_keys),
        status_details=None if report.ok else refusals.verdict(report.errors, report.bad_lines),
    )


def _measured(dataset: Dataset, chunks: Iterable[bytes]) -> Dataset:
    """The file with its size, hash and number of lines: all that is asked of one that nothing is learnt from."""
    digest, size, lines, last = sha256(), 0, 0, b"\n"
    for chunk in chunks:
        digest.update(chunk)
        size, lines, last = size + len(chunk), lines + chunk.count(b"\n"), chunk[-1:] or last
    rows = lines + (last != b"\n")
    return replace(dataset, status=PROCESSED, bytes=size, sha256=digest.hexdigest(), rows=rows, status_details=None)
