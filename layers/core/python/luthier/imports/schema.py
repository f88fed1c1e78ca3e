"""Wire shapes of imports on the training_models surface."""

from typing import Any, Literal, Self

from pydantic import Field

from luthier.imports.entity import COMPLETED, File, ImportRequest, Source
from luthier.imports.service import Adoption
from luthier.imports.sources import Upload
from luthier.models.registry_schema import Description, Tag
from luthier.processing.schema import EvaluationError
from luthier.wire import LONGEST_NAME, Answer, CamelAnswer, CamelRequest, Request

# S3 takes no more by one PUT.
_MOST_BYTES = 5 << 30


class ImportedFile(Request):
    name: str = Field(min_length=1, max_length=LONGEST_NAME, description="As save_pretrained writes it.")
    size: int = Field(ge=1, le=_MOST_BYTES, description="Exact size in bytes; the upload takes no other.")


class ImportSource(CamelRequest):
    """`s3` with the `uri` of a folder, `upload` with the `files` to come, or a `checkpoint` of one of your own jobs."""

    type: Literal["s3", "upload", "checkpoint"]
    uri: str | None = Field(
        default=None, max_length=2_000, description="s3://BUCKET/PREFIX in a bucket that is listed."
    )
    files: list[ImportedFile] = Field(default=[], max_length=100)
    checkpoint: str | None = Field(
        default=None, max_length=LONGEST_NAME, description="Id or name, as the job's list of checkpoints has them."
    )


class ImportModel(CamelRequest):
    name: str = Field(min_length=1, max_length=200)
    base_model: str | None = Field(
        default=None,
        min_length=1,
        max_length=LONGEST_NAME,
        description="What it was trained from; of a checkpoint its job knows.",
    )
    source: ImportSource
    description: Description | None = None
    tags: list[Tag] = Field(default=[], max_length=50)

    def wish(self) -> ImportRequest:
        files = [File(file.name, file.size) for file in self.source.files]
        source = Source(self.source.type, self.source.uri, self.source.checkpoint, files)
        return ImportRequest(self.name, self.base_model, source, self.description, list(dict.fromkeys(self.tags)))


class ImportedFrom(Answer):
    """`uri` is null, and `files` are what was announced, where it is uploaded; `bytes` of all files."""

    type: str
    uri: str | None
    files: list[ImportedFile]
    bytes: int


class ImportObject(CamelAnswer):
    """`modelId` is null until it is completed; while it is checked, `error` may say what it waits for.

    warnings: sentences about what the check could not decide.
    """

    id: str
    name: str
    base_model: str
    description: str | None
    tags: list[str]
    source: ImportedFrom
    status: Literal["awaiting_upload", "checking", "completed", "failed"]
    model_id: str | None
    error: EvaluationError | None
    warnings: list[str]
    created_at: str
    completed_at: str | None

    @classmethod
    def of(cls, adoption: Adoption) -> Self:
        return cls(**_shown(adoption))


class FileUpload(Answer):
    """Where a file goes: send it by `method` to `url` with exactly these headers, within the hour."""

    name: str
    method: Literal["PUT"] = "PUT"
    url: str
    headers: dict[str, str]


class ImportBegun(ImportObject):
    """`uploads` is empty where nothing has to be uploaded. The same Idempotency-Key gives new addresses."""

    uploads: list[FileUpload]

    @classmethod
    def with_uploads(cls, adoption: Adoption, uploads: list[Upload]) -> Self:
        return cls(**_shown(adoption), uploads=[FileUpload(**upload._asdict()) for upload in uploads])


def _shown(adoption: Adoption) -> dict[str, Any]:
    imported, processing = adoption.imported, adoption.processing
    reason = processing.status_reason if processing else None
    done = processing if processing and adoption.status == COMPLETED else None
    files = [ImportedFile(name=file.name, size=file.size) for file in imported.files]
    uri = imported.uri if imported.source == "s3" else None
    return {
        "id": imported.id,
        "name": imported.name,
        "base_model": imported.base_model,
        "description": imported.description,
        "tags": imported.tags,
        "source": ImportedFrom(type=imported.source, uri=uri, files=files, bytes=imported.bytes),
        "status": adoption.status,
        "model_id": imported.model_id if done else None,
        "error": EvaluationError(**reason) if reason else None,
        "warnings": ((done.result or {}) if done else {}).get("warnings", []),
        "created_at": imported.created_at,
        "completed_at": done.finished_at if done else None,
    }
