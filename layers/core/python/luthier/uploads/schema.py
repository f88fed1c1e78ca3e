"""Wire shapes of uploads on the openai surface: OpenAI's upload and upload.part objects."""

from typing import Annotated, Literal, Self

from pydantic import Field

from luthier import clock
from luthier.datasets.entity import Dataset
from luthier.datasets.schema import ExpiresAfter, File
from luthier.errors import InvalidRequest
from luthier.uploads.entity import MOST_BYTES, MOST_PARTS, PART_BYTES, Upload
from luthier.uploads.service import Part
from luthier.wire import LONGEST_NAME, Answer, Request, form

PART_BODY = form(
    ["data"], {"data": {"type": "string", "format": "binary", "description": f"1 to {PART_BYTES:,} bytes."}}
)


def part(fields: dict[str, str], files: dict[str, tuple[str, bytes]]) -> bytes:
    """The content of a part in the parts of its form. Raises InvalidRequest naming the part."""
    for name in (*fields, *files):
        if name != "data":
            raise InvalidRequest(f"Unknown field `{name}`.", code="unknown_field", param=name, remedy="Send `data`.")
    if "data" not in files:
        raise InvalidRequest("`data` is required, as a file.", code="missing_field", param="data")
    return files["data"][1]


class CreateUpload(Request):
    filename: str
    purpose: str = Field(description="fine-tune, evals or batch")
    bytes: int = Field(description=f"Exact size of the whole file; {MOST_BYTES:,} at most.")
    mime_type: str = Field(description="Taken as OpenAI's clients send it; every file is JSONL.")
    expires_after: ExpiresAfter | None = None


class CompleteUpload(Request):
    part_ids: list[Annotated[str, Field(max_length=LONGEST_NAME)]] = Field(
        description=f"The parts in their order, 1 to {MOST_PARTS:,}."
    )
    md5: str | None = Field(default=None, pattern="^[0-9a-fA-F]{32}$", description="Of the whole content, in hex.")


class UploadObject(Answer):
    """OpenAI's upload object; times in Unix seconds. `file` is there once it is completed, `processed` or `error`
    when it has been checked: at once up to 100 MB, else within minutes."""

    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: File | None

    @classmethod
    def of(cls, upload: Upload, file: Dataset | None = None) -> Self:
        times = {name: clock.epoch(getattr(upload, name)) for name in ("created_at", "expires_at")}
        return cls.model_validate(vars(upload) | times | {"file": File.of(file) if file else None})


class UploadPart(Answer):
    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str

    @classmethod
    def of(cls, made: Part) -> Self:
        return cls.model_validate(vars(made) | {"created_at": clock.epoch(made.created_at)})
