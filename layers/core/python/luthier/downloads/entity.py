"""A download: files of a model, or one archive of them, behind a token that expires. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# As long as a presigned URL that is made with a function's own credentials surely lives.
LIFE_SECONDS = 3600
TOKEN_PREFIX = "tok_download_"


@dataclass(frozen=True)
class File:
    """size in bytes; uri: the object in S3."""

    name: str
    size: int
    sha256: str
    uri: str

    @property
    def checksum(self) -> str:
        return f"sha256:{self.sha256}"

    @classmethod
    def below(cls, folder: str, row: Mapping[str, Any]) -> "File":
        """Of a row `{name or path, size, sha256}` of what lies in an S3 folder."""
        name = row.get("name") or row["path"]
        return cls(name, row["size"], row["sha256"], f"{folder.rstrip('/')}/{name}")


@dataclass(frozen=True)
class Download:
    """archive: None where the files are fetched one by one; saved_as: how the archive is called where it is saved."""

    organization_id: str
    model_id: str
    format: str
    compression: str
    files: Sequence[File]
    archive: File | None
    saved_as: str
    expires_at: str

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return self.archive.size if self.archive else sum(file.size for file in self.files)


@dataclass(frozen=True)
class Granted:
    """A download, the token that leads to it, and presigned URLs by the name of what they give."""

    download: Download
    token: str
    urls: Mapping[str, str]


@dataclass(frozen=True)
class Preparing:
    """What is asked for is being made."""

    processing_id: str
    format: str
    compression: str
    retry_after: int
