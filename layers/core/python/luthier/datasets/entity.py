"""A dataset: an uploaded JSONL file and what its check found. Pure: standard library only."""

import re
from dataclasses import dataclass, field
from typing import Any

UPLOADED, PROCESSED, ERROR = "uploaded", "processed", "error"
BATCH, BATCH_OUTPUT, JOB_RESULTS = "batch", "batch_output", "fine-tune-results"
PURPOSES = ("fine-tune", "evals", BATCH)
# Rows to learn or judge from. What batches read and write is neither.
WITH_ROWS = ("fine-tune", "evals")
ID_PREFIX = "file"

# Both spellings that clients know, with the ULID they share.
_REFERENCE = re.compile(r"(?:file-|ds_)([0-9a-hjkmnp-tv-z]{26})")


@dataclass(frozen=True)
class Dataset:
    """One file. `uploaded`: its content is awaited; `processed`: it can be used; `error`: see the findings.

    bytes: of the content (announced ones while it is awaited); tokens, longest_row_tokens: estimates;
    findings: the first ones, each {line, code, pointer, message, fix, level}; counts: findings per code;
    findings_count: all of them; warnings_count: those that do not keep the file from being trained on;
    ignored_keys: keys that are not trained on, with their number of rows; expires_at: when the file goes by itself.
    repair: of a repaired file `{source, rows_kept, rows_changed, rows_dropped, corrections, dropped}`: the id of the
    file that it was made of, and what was done to its rows, by kind of correction and by code.

    unchecked: the content has arrived and its check is owed, which was begun `tries` times; it lies in the parts of
    `upload_id` until it is joined, where that is set. due: when the sweeper looks at the file next,
    of a deleted one for its previews.
    """

    id: str
    organization_id: str
    filename: str
    purpose: str
    bytes: int
    status: str
    created_at: str
    s3_key: str
    sha256: str | None = None
    format: str | None = None
    rows: int = 0
    bad_lines: int = 0
    blank_lines: int = 0
    characters: int = 0
    tokens: int = 0
    longest_row_tokens: int = 0
    findings_count: int = 0
    warnings_count: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    findings: list[dict[str, Any]] = field(default_factory=list)
    ignored_keys: dict[str, int] = field(default_factory=dict)
    status_details: str | None = None
    deleted: bool = False
    expires_at: str | None = None
    upload_id: str | None = None
    unchecked: bool = False
    tries: int = 0
    due: str | None = None
    repair: dict[str, Any] | None = None

    def has_at_most(self, invalid_share: float) -> bool:
        """Whether nothing but this share of its lines keeps it from being trained on."""
        return self.rows > 0 and self.bad_lines <= invalid_share * (self.rows + self.bad_lines)

    @property
    def report_key(self) -> str:
        """S3 key of the findings that do not fit into the table."""
        return f"{self.organization_id}/files/{self.id}.report.json"


def content_key(organization_id: str, dataset_id: str, filename: str) -> str:
    """S3 key of a file's content."""
    return f"{organization_id}/files/{dataset_id}/{filename}"


def id_in(reference: str) -> str | None:
    """The dataset id that a reference spells (`file-…` or `ds_…`); None when it is a name or a path."""
    found = _REFERENCE.fullmatch(reference)
    return f"{ID_PREFIX}-{found.group(1)}" if found else None


def name_in(path: str) -> str:
    """The file name at the end of a path, Windows paths included."""
    return re.split(r"[/\\]", path)[-1]
