"""All that can be said about a training file with its tokenizer at hand: structure, exact token counts, riskiest rows.

The structure is judged by the module that the platform's upload endpoint runs; tokens by those that training uses.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from luthier.datasets.findings import ERROR, WARNING, Finding
from luthier.datasets.formats import mixed_formats
from luthier.datasets.lines import MAX_LINE_BYTES
from luthier.datasets.report import KEPT_PER_CODE, Report
from luthier.datasets.rows import BadRow, parse_row
from trainer import data, encoding
from trainer.channels import Place, batches, chunks
from trainer.encoding import Encoded
from trainer.failures import Failure
from trainer.preview import Risky, preview, risk, riskiest
from trainer.templates import Rendered


@dataclass
class TokenCounts:
    """Of one file. tokens, trained_tokens, longest_row_tokens: within the longest sequence; truncated_tokens: beyond.

    dropped_rows yield no example, because the cut leaves nothing to train.
    """

    tokens: int = 0
    trained_tokens: int = 0
    truncated_rows: int = 0
    truncated_tokens: int = 0
    dropped_rows: int = 0
    examples: int = 0
    longest_row_tokens: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def count(self, encoded: Encoded, max_length: int) -> None:
        self.tokens += encoded.tokens
        self.trained_tokens += encoded.trained
        self.truncated_rows += encoded.truncated
        self.truncated_tokens += max(0, encoded.longest - max_length)
        self.dropped_rows += not encoded.examples
        self.examples += len(encoded.examples)
        self.longest_row_tokens = max(self.longest_row_tokens, min(encoded.longest, max_length))

    def add(self, *findings: Finding) -> None:
        for finding in findings:
            self.counts[finding.code] += 1
            if self.counts[finding.code] <= KEPT_PER_CODE:
                self.findings.append(finding)


@dataclass(frozen=True)
class Examination:
    """Of one file. riskiest: previews (see `preview.preview`) of the rows most worth a look, worst first.

    previews: of the lines that were asked for, {"line": int, …}; one that cannot be shown has a "message" instead.
    """

    path: Path
    report: Report
    tokens: TokenCounts
    riskiest: list[dict[str, Any]]
    previews: list[dict[str, Any]]

    @property
    def ok(self) -> bool:
        return self.report.ok and not any(finding.level == ERROR for finding in self.tokens.findings)

    @property
    def findings(self) -> list[Finding]:
        return sorted([*self.report.findings, *self.tokens.findings], key=lambda finding: finding.line)

    @property
    def counts(self) -> Counter[str]:
        return self.report.counts + self.tokens.counts

    def as_json(self) -> dict[str, Any]:
        report, tokens, counts = self.report, asdict(self.tokens), self.counts
        names = ("format", "bytes", "sha256", "lines", "blank_lines", "rows", "bad_lines")
        return {
            "file": self.path.name,
            "ok": self.ok,
            **{name: getattr(report, name) for name in names},
            **{name: count for name, count in tokens.items() if name not in ("counts", "findings")},
            "duplicates": counts["duplicate_row"],
            "overlap": counts["overlap"],
            "secrets": counts["likely_secret"],
            "ignored_keys": dict(report.ignored_keys),
            "counts": dict(counts),
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
    reading = _Reading(path, method, report.format, tokenizer, max_length)
    tokens = TokenCounts()
    # One at least, since looking for it is what reads the file.
    found = riskiest(reading.measured(tokens), max(1, previews))[:previews]
    if report.ok and not tokens.examples:
        tokens.add(_nothing_left(max_length))
    shown = [{"risk": risky.risk, "line": risky.line} | preview(tokenizer, risky.row, max_length) for risky in found]
    return Examination(path, report, tokens, shown, reading.shown(lines))


@dataclass(frozen=True)
class _Reading:
    """The second time that a file is read, when its format is known."""

    path: Path
    method: str
    format: str | None
    tokenizer: Any
    max_length: int

    def measured(self, tokens: TokenCounts) -> Iterator[tuple[Encoded, Risky]]:
        """Every row that the template takes; tokens and faults of all are noted as they pass."""
        for batch in batches(self._places()):
            places, texts = [], []
            for place in batch:
                try:
                    texts.append(_rendered(self.tokenizer, place))
                    places.append(place)
                except BadRow as bad:
                    tokens.add(*bad.findings)
            rows = [place.row for place in places]
            results = encoding.encode_rendered(self.tokenizer, rows, texts, self.max_length) if rows else []
            for place, encoded in zip(places, results, strict=True):
                tokens.count(encoded, self.max_length)
                if finding := _finding(place.line, encoded, self.max_length):
                    tokens.add(finding)
                yield encoded, Risky(risk(encoded, self.max_length), place.line, place.row)

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
            _rendered(self.tokenizer, place)
        except BadRow as bad:
            return {"message": " ".join(f"{one.pointer} {one.message} {one.fix}".strip() for one in bad.findings)}
        return preview(self.tokenizer, place.row, self.max_length)

    def _places(self) -> Iterator[Place]:
        """The rows that are good by themselves."""
        for number, line in enumerate(_lines(self.path), start=1):
            if line.strip():
                with suppress(BadRow):
                    yield self._place(number, line)

    def _place(self, number: int, line: bytes) -> Place:
        """Raises BadRow."""
        row = parse_row(line, number, self.method)
        if self.format and row.format != self.format:
            raise BadRow([mixed_formats(row.format, self.format).at(number)])
        return Place(self.path, number, row)


def _rendered(tokenizer: Any, place: Place) -> list[Rendered]:
    """Raises BadRow where the template cannot show the row."""
    try:
        return data.render(tokenizer, place)
    except Failure as failure:
        code = "template_missing" if failure.code == "template_missing" else "template_refused"
        message = failure.message.removeprefix(f"{place}: ")
        raise BadRow([Finding(place.line, code, "", message, failure.hint)]) from failure


def _finding(line: int, encoded: Encoded, max_length: int) -> Finding | None:
    if not encoded.learnable:
        text = "No token of the row is trained: the chat template shows nothing of the answer."
        return Finding(line, "no_trained_token", "", text, "Write an answer that the template shows, or drop the line.")
    if not encoded.truncated:
        return None
    text = f"The row has {encoded.longest} tokens, of which {encoded.longest - max_length} are cut off"
    fix = f"Raise max_sequence_length above {max_length}, or shorten the row."
    if encoded.examples:
        return Finding(line, "truncated", "", f"{text}.", fix, WARNING)
    return Finding(line, "answer_cut_off", "", f"{text}, and with them all that is trained.", fix, WARNING)


def _nothing_left(max_length: int) -> Finding:
    text = f"No row has a token to train on within max_sequence_length {max_length}."
    return Finding(0, "no_trained_token", "", text, "Raise max_sequence_length, or shorten the prompts.")


def _lines(path: Path) -> Iterator[bytes]:
    """A line that is too long comes as an empty one, so that it is not held."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES + 1):
            whole = len(line) <= MAX_LINE_BYTES or line.endswith(b"\n")
            yield line if whole else b""
            while len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                line = file.readline(MAX_LINE_BYTES + 1) or b"\n"
