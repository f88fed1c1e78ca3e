"""Wire shapes of files on the openai surface: OpenAI's file object, with what Luthier knows about it after its keys."""

from typing import Any, Literal, Self

from pydantic import Field

from luthier import clock
from luthier.datasets.entity import PURPOSES, Dataset
from luthier.errors import InvalidRequest
from luthier.wire import Answer, Request

# An upload takes what OpenAI documents; `expires_after` is accepted, and files stay until they are deleted.
_UPLOAD_FIELDS = ("purpose", "expires_after[anchor]", "expires_after[seconds]")
UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "JSONL, up to 4.5 MB."},
                        "purpose": {"type": "string", "enum": list(PURPOSES)},
                    },
                }
            }
        },
    }
}


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
    return {"filename": filename, "purpose": fields["purpose"], "content": content}


class BeginUpload(Request):
    filename: str
    bytes: int = Field(description="Exact size; the upload takes no other.")
    purpose: str = Field(description="fine-tune, evals or batch")


class File(Answer):
    """OpenAI's file object. `created_at` is in Unix seconds; `tokens` is an estimate; null until it is checked.

    `findings_count` counts errors and warnings; a file with warnings only is `processed`.
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

    @classmethod
    def of(cls, dataset: Dataset) -> Self:
        return cls.model_validate(vars(dataset) | {"created_at": clock.epoch(dataset.created_at)})


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
