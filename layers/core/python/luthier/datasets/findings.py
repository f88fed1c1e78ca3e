"""What is said about a row: a finding per fault, and which faults do not stop a training run."""

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"
# A pointer may name a key, and a key may be as long as a line.
MAX_POINTER_CHARACTERS = 400
# Codes of warnings; every other code is an error. A file with warnings only can be trained on.
WARNINGS = frozenset(
    {"duplicate_row", "overlap", "likely_secret", "identical_pair", "undeclared_tool", "one_label", "truncated",
     "answer_cut_off"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. `line` counts from 1 (0: the file as a whole); `pointer` is a JSON pointer into the row (RFC 6901),
    cut after MAX_POINTER_CHARACTERS.

    level: `error` (the file cannot be trained on) or `warning`; a code always has the same one.
    """

    line: int
    code: str
    pointer: str
    message: str
    fix: str
    level: str = ERROR


class Fault(Exception):
    """args = (code, pointer, message, fix): a finding that does not know its line yet."""

    def at(self, line: int) -> Finding:
        code, pointer, message, fix = self.args
        if len(pointer) > MAX_POINTER_CHARACTERS:
            pointer = f"{pointer[: MAX_POINTER_CHARACTERS - 1]}…"
        return Finding(line, code, pointer, message, fix, WARNING if code in WARNINGS else ERROR)


class BadRow(ValueError):
    """The line cannot be trained on. `findings` holds every reason, up to MAX_FINDINGS_PER_ROW."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("; ".join(f"line {f.line} {f.pointer}: {f.message}" for f in findings))
        self.findings = findings
