"""An import: a model that was trained elsewhere, on its way into the registry. Pure."""

from dataclasses import dataclass, field

from luthier.models.entity import id_of_job

ID_PREFIX = "import"
# Begins the keys of all uploads in the data bucket; S3 deletes them after a while. No organization begins with a dot.
UPLOADS = ".imports/"
S3, UPLOAD, CHECKPOINT = "s3", "upload", "checkpoint"
AWAITING_UPLOAD, CHECKING, COMPLETED, FAILED = "awaiting_upload", "checking", "completed", "failed"


@dataclass(frozen=True)
class File:
    """A file that is going to be uploaded; size in bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Source:
    """Where a model comes from. type: `s3` with the uri of a prefix, `upload` with the files to come, or `checkpoint`
    with the id or name of one."""

    type: str
    uri: str | None = None
    checkpoint: str | None = None
    files: list[File] = field(default_factory=list)


@dataclass(frozen=True)
class ImportRequest:
    """What a client asks for."""

    name: str
    base_model: str | None
    source: Source
    description: str | None = None
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Import:
    """What is imported under which name; how far it is tells the processing that adopts it.

    base_model: id of the catalogue; uri: S3 prefix of the files, with a slash at its end; bytes: of all of them.
    """

    id: str
    organization_id: str
    owner: str
    name: str
    base_model: str
    source: str
    uri: str
    bytes: int
    created_at: str
    files: list[File] = field(default_factory=list)
    description: str | None = None
    tags: list[str] = field(default_factory=list)
    # Of a checkpoint: its own name, which the model has besides.
    checkpoint: str | None = None

    @property
    def model_id(self) -> str:
        """The id of the model that it yields."""
        return id_of_job(self.id)


def folder(organization_id: str, import_id: str) -> str:
    """Key prefix of an import's uploaded files in the data bucket."""
    return f"{UPLOADS}{organization_id}/{import_id}/"
