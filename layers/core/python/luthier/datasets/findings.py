"""What is said about a row: a finding per fault, and which faults do not stop a training run."""

from dataclasses import dataclass

ERROR, WARNING = "error", "warning"
# A pointer may name a key, and a key may be as long as a line.
MAX_POINTER_CHARACTERS = 400
ERRORS = frozenset(
    {"ambiguous_format", "control_character", "duplicate_key", "empty_file", "empty_messages", "invalid_json",
     "invalid_tool_call", "invalid_unicode", "invalid_utf8", "line_too_long", "misplaced_role", "misplaced_system",
     "missing_content", "missing_key", "mixed_formats", "no_trained_token", "not_an_object", "template_missing",
     "template_refused", "too_many_messages", "unknown_format", "unknown_role", "unknown_tool_call", "unsupported_key",
     "unsupported_tool", "unsupported_weight", "wrong_columns", "wrong_type"}
)  # fmt: skip
# A file with warnings only can be trained on.
WARNINGS = frozenset(
    {"answer_cut_off", "control_token", "duplicate_row", "identical_pair", "likely_secret", "one_label", "overlap",
     "truncated", "undeclared_tool"}
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
