"""Wire shapes of files on the openai surface: OpenAI's file object, with what Luthier knows about it after its keys."""

from typing import Any, Literal, Self

from pydantic import Field

from luthier import clock
from luthier.datasets.entity import PURPOSES, Dataset
from luthier.errors import InvalidRequest
from luthier.wire import Answer, Request, form

_ANCHOR, _SECONDS = "expires_after[anchor]", "expires_after[seconds]"
_UPLOAD_FIELDS = ("purpose", _ANCHOR, _SECONDS)
_LEAST_SECONDS, _MOST_SECONDS = 3600, 30 * 24 * 3600
UPLOAD_BODY = form(
    ["file", "purpose"],
    {
        "file": {"type": "string", "format": "binary", "description": "JSONL, up to 4.5 MB."},
        "purpose": {"type": "string", "enum": list(PURPOSES)},
        _ANCHOR: {"type": "string", "enum": ["created_at"]},
        _SECONDS: {"type": "integer", "minimum": _LEAST_SECONDS, "maximum": _MOST_SECONDS},
    },
)


def upload(fields: dict[str, str], files: dict[str, tuple[str, bytes]]) -> dict[str, Any]:
    """The arguments of an upload in the parts of its form. Raises InvalidRequest naming the part."""
    for name in (*fields, *files):
        if name not in (*_UPLOAD_FIELDS, "file"):
            remedy = "Send the parts `file` and `purpose`."
            raise InvalidRequest(f"Unknown field `{name}`.", code="unknown_field", param=name, remedy=remedy)
    for name, present in (("file", files), ("purpose", fields)):
        if name not in present:
            raise InvalidRequest(f"`{name}` is required.", code="missing_field", param=name)
    filename, content = files["file"]
    expires_after = _seconds(fields)
    return {"filename": filename, "purpose": fields["purpose"], "content": content, "expires_after": expires_after}


def _seconds(fields: dict[str, str]) -> int | None:
    """After how many seconds a form says that its file expires."""
    anchor, text = fields.get(_ANCHOR), fields.get(_SECONDS)
    if anchor is None and text is None:
        return None
    if anchor != "created_at":
        raise InvalidRequest(
            f"{_ANCHOR} must be created_at.", code="invalid_value", param=_ANCHOR, remedy="Send it beside the seconds."
        )
    seconds = int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not _LEAST_SECONDS <= seconds <= _MOST_SECONDS:
        raise InvalidRequest(
            f"{_SECONDS} must be a whole number from {_LEAST_SECONDS} to {_MOST_SECONDS}.",
            code="invalid_value",
            param=_SECONDS,
            remedy="Send one hour to 30 days, or leave expires_after out: the file then stays until it is deleted.",
        )
    return seconds


class ExpiresAfter(Request):
    anchor: Literal["created_at"]
    seconds: int = Field(ge=_LEAST_SECONDS, le=_MOST_SECONDS)


class BeginUpload(Request):
    filename: str
    bytes: int = Field(description="Exact size; the upload takes no other.")
    purpose: str = Field(description="fine-tune, evals or batch")


class FileRepair(Answer):
    """What was done to the rows of the file `source` to make this one.

    `corrections` counts rows by kind of correction, `dropped` lines by what was wrong with them; `rows_dropped` leaves
    blank lines out.
    """

    source: str
    rows_kept: int
    rows_changed: int
    rows_dropped: int
    corrections: dict[str, int]
    dropped: dict[str, int]


class File(Answer):
    """OpenAI's file object. `created_at` is in Unix seconds; `tokens` is an estimate; null until it is checked.

    `findings_count` counts errors and warnings; a file with warnings only is `processed`. `repair` is null but for
    repaired files.
    """

    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None
    expires_at: int | None = None
    format: str | None
    rows: int
    tokens: int
    bad_lines: int
    findings_count: int
    warnings_count: int
    sha256: str | None
    repair: FileRepair | None

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        expires_at = clock.epoch(dataset.expires_at) if dataset.expires_at else None
        times = {"created_at": clock.epoch(dataset.created_at), "expires_at": expires_at}
        return cls.model_validate(vars(dataset) | times)


class FileList(Answer):
    object: Literal["list"] = "list"
    data: list[File]
    has_more: bool
    first_id: str | None
    last_id: str | None

    @classmethod
    def of(cls, datasets: list[Dataset], has_more: bool) -> Self:
        data = [File.of(dataset) for dataset in datasets]
        first_id, last_id = (data[0].id, data[-1].id) if data else (None, None)
        return cls(data=data, has_more=has_more, first_id=first_id, last_id=last_id)


class FileDeleted(Answer):
    id: str
    object: Literal["file"] = "file"
    deleted: bool = True


class Finding(Answer):
    """One fault: its line (from 1; 0: the whole file), where in the row, what is wrong and what to do.

    An `error` keeps the file from being trained on, a `warning` does not.
    """

    line: int
    level: Literal["error", "warning"] = "error"
    code: str
    pointer: str
    message: str
    fix: str


class FileReport(Answer):
    """All that the check of a file said. `counts` holds every fault by code, `findings` at most 1,000 of each code.

    Errors come first, each level in the order of the lines.
    """

    id: str
    object: Literal["file.report"] = "file.report"
    filename: str
    status: Literal["processed", "error"]
    status_details: str | None
    format: str | None
    rows: int
    bad_lines: int
    blank_lines: int
    characters: int
    tokens: int
    longest_row_tokens: int
    sha256: str | None
    ignored_keys: dict[str, int]
    findings_count: int
    warnings_count: int
    counts: dict[str, int]
    findings: list[Finding]


class Upload(Answer):
    """Where the content goes: send it by `method` to `url` with exactly these headers."""

    method: Literal["PUT"] = "PUT"
    url: str
    headers: dict[str, str]


class UploadBegun(Answer):
    file: File
    upload: Upload

    @classmethod
    def of(cls, dataset: Dataset, url: str, headers: dict[str, str]) -> Self:
        return cls(file=File.of(dataset), upload=Upload(url=url, headers=headers))
