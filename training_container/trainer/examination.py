"""All that can be said about a training file with its tokenizer at hand: structure, exact token counts, riskiest rows.

The structure is judged by the module that the platform's upload endpoint runs; tokens by those that training uses.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from luthier.datasets.cautions import texts_for_template
from luthier.datasets.control_tokens import COMMON, control_tokens
from luthier.datasets.findings import Fault, Finding
from luthier.datasets.formats import mixed_formats
from luthier.datasets.lines import MAX_LINE_BYTES
from luthier.datasets.report import Report
from luthier.datasets.rows import BadRow, Row, parse_row
from trainer import data, encoding
from trainer.channels import Place, batches, chunks
from trainer.encoding import Counts, Encoded
from trainer.failures import Failure
from trainer.preview import Risky, preview, risk, riskiest
from trainer.templates import Rendered


@dataclass(frozen=True)
class Examination:
    """Of one file. riskiest: previews (see `preview.preview`) of the rows most worth a look, worst first.

    previews: of the lines that were asked for, {"line": int, "risk": str, …}; one that cannot be shown has a "message"
    instead.
    """

    path: Path
    report: Report
    counts: Counts
    riskiest: list[dict[str, Any]]
    previews: list[dict[str, Any]]

    @property
    def findings(self) -> list[Finding]:
        return sorted(self.report.findings, key=lambda finding: finding.line)

    def as_json(self) -> dict[str, Any]:
        report, counts = self.report, self.counts
        names = ("format", "bytes", "sha256", "lines", "blank_lines", "rows", "bad_lines")
        return {
            "file": self.path.name,
            "ok": report.ok,
            **{name: getattr(report, name) for name in names},
            "examples": counts.examples,
            "tokens": counts.tokens,
            "trained_tokens": counts.trained,
            "truncated_rows": counts.truncated,
            "truncated_tokens": counts.truncated_tokens,
            "dropped_rows": counts.dropped,
            "longest_row_tokens": counts.longest,
            "duplicates": report.counts["duplicate_row"],
            "overlap": report.counts["overlap"],
            "secrets": report.counts["likely_secret"],
            "ignored_keys": dict(report.ignored_keys),
            "counts": dict(report.counts),
            "findings": [asdict(finding) for finding in self.findings],
            "riskiest": self.riskiest,
            "previews": self.previews,
        }


def examine(
    path: Path,
    report: Report,
    tokenizer: Any,
    method: str,
    max_length: int,
    previews: int = 0,
    lines: Sequence[int] = (),
) -> Examination:
    """Read a file twice: for its structure, and for the tokens of its good rows. Memory stays flat.

    report: a new one, which is fed and closed; previews: how many of the riskiest rows to show; lines: numbers of those
    to show whatever their risk.
    """
    for chunk in chunks(path):
        report.feed(chunk)
    report.close()
    reading, counts = _Reading(path, method, report, tokenizer, max_length), Counts()
    # One at least, since looking for it is what reads the file.
    found = riskiest(reading.measured(counts), max(1, previews))[:previews]
    if report.ok and not counts.examples:
        report.add(Fault("no_trained_token", "", *counts.nothing_left(max_length)), 0)
    shown = [{"risk": risky.risk, "line": risky.line} | preview(tokenizer, risky.row, max_length) for risky in found]
    return Examination(path, report, counts, shown, reading.shown(lines))


@dataclass(frozen=True)
class _Reading:
    """The second time that a file is read. report: of the first time."""

    path: Path
    method: str
    report: Report
    tokenizer: Any
    max_length: int

    def measured(self, counts: Counts) -> Iterator[tuple[Encoded, Risky]]:
        """Every row that the template takes; counts and faults of all are noted as they pass."""
        for batch in batches(self._rendered()):
            rows, texts = [place.row for place, _ in batch], [texts for _, texts in batch]
            results = encoding.encode_rendered(self.tokenizer, rows, texts, self.max_length)
            for (place, _), encoded in zip(batch, results, strict=True):
                counts.count(encoded, self.max_length)
                if found := _fault(encoded, self.max_length):
                    self.report.add(found, place.line)
                yield encoded, Risky(risk(encoded, self.max_length), place.line, place.row)

    def _rendered(self) -> Iterator[tuple[Place, list[Rendered]]]:
        special = _special_tokens(self.tokenizer)
        for place in self._places():
            try:
                yield place, _rendered(self.tokenizer, place)
            except Fault as fault:
                self.report.add(fault, place.line)
            for caution in control_tokens(texts_for_template(place.row), special) if special else ():
                self.report.add(caution, place.line)

    def shown(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        numbered = enumerate(islice(_lines(self.path), max(numbers, default=0)), start=1)
        lines = {number: line for number, line in numbered if number in numbers}
        return [{"line": number} | self._shown(number, lines.get(number)) for number in dict.fromkeys(numbers)]

    def _shown(self, number: int, line: bytes | None) -> dict[str, Any]:
        if line is None:
            return {"message": f"{self.path.name} has no such line."}
        if not line.strip():
            return {"message": "The line is blank." if line else f"The line is longer than {MAX_LINE_BYTES} bytes."}
        try:
            place = self._place(number, line)
            texts = _rendered(self.tokenizer, place)
        except (BadRow, Fault) as error:
            findings = error.findings if isinstance(error, BadRow) else [error.at(number)]
            return {"message": " ".join(f"{one.pointer} {one.message} {one.fix}".strip() for one in findings)}
        (encoded,) = encoding.encode_rendered(self.tokenizer, [place.row], [texts], self.max_length)
        return {"risk": risk(encoded, self.max_length)} | preview(self.tokenizer, place.row, self.max_length)

    def _places(self) -> Iterator[Place]:
        """The rows that are good by themselves."""
        for number, line in enumerate(_lines(self.path), start=1):
            if line.strip():
                with suppress(BadRow, Fault):
                    yield self._place(number, line)

    def _place(self, number: int, line: bytes) -> Place:
        """Raises BadRow or Fault."""
        row = parse_row(line, number, self.method)
        if self.report.format and row.format != self.report.format:
            raise mixed_formats(row.format, self.report.format)
        return Place(self.path, number, row, bytes=len(line))


def useless(tokenizer: Any, row: Row) -> str:
    """The code of what keeps a row that is good by itself from teaching anything, at any length; or nothing."""
    try:
        texts = _rendered(tokenizer, Place(Path(), 0, row))
    except Fault as fault:
        return str(fault.args[0])
    if row.format == "preference" and texts[0].text == texts[1].text:
        return "identical_pair"
    return "" if any(end > start for one in texts for start, end in one.trained) else "no_trained_token"


def _special_tokens(tokenizer: Any) -> "re.Pattern[str] | None":
    """The tokenizer's own, but for those that the report has looked for; None if there are no others."""
    tokens = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    others = [re.escape(token) for token in tokens if token and not COMMON.search(token)]
    return re.compile("|".join(others)) if others else None


def _rendered(tokenizer: Any, place: Place) -> list[Rendered]:
    """Raises Fault where the template cannot show the row."""
    try:
        return data.render(tokenizer, place)
    except Failure as failure:
        message = failure.message.removeprefix(f"{place}: ")
        raise Fault(
            "template_missing" if failure.code == "template_missing" else "template_refused", "", message, failure.hint
        ) from failure


def _fault(encoded: Encoded, max_length: int) -> Fault | None:
    if not encoded.learnable:
        text = "No token of the row is trained: the chat template shows nothing of the answer."
        return Fault("no_trained_token", "", text, "Write an answer that the template shows, or drop the line.")
    if not encoded.truncated:
        return None
    text = f"The row has {encoded.longest} tokens, of which {encoded.longest - max_length} are cut off"
    fix = f"Raise max_sequence_length above {max_length}, or shorten the row."
    if encoded.examples:
        return Fault("truncated", "", f"{text}.", fix)
    return Fault("answer_cut_off", "", f"{text}, and with them all that is trained.", fix)


def _lines(path: Path) -> Iterator[bytes]:
    """A line that is too long comes as an empty one, so that it is not held."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES + 1):
            whole = len(line) <= MAX_LINE_BYTES or line.endswith(b"\n")
            yield line if whole else b""
            while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES + 1) or b"\n"
