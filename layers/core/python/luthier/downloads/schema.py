"""Wire shapes of downloads on the training_models surface: camelCase."""

from typing import Annotated, Literal, Self

from pydantic import Field

from luthier.downloads.entity import File, Granted, Preparing
from luthier.models.formats import Compression, Format
from luthier.wire import LONGEST_NAME, CamelAnswer, Request

_Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class DownloadModel(Request):
    files: list[_Name] | None = Field(
        default=None, min_length=1, max_length=20, description="Of the format's list; all of it by default."
    )
    format: Format | None = Field(
        default=None, description="By default `adapter` where the model is one, else `huggingface`."
    )
    compression: Compression = Field(default="none", description="`none`: one link per file.")


class DownloadFile(CamelAnswer):
    """`size` in bytes; `url` null where the file is in an archive."""

    name: str
    size: int
    checksum: str
    url: str | None

    @classmethod
    def of(cls, file: File, url: str | None) -> Self:
        return cls(name=file.name, size=file.size, checksum=file.checksum, url=url)


class DownloadAnswer(CamelAnswer):
    """`size`: bytes to fetch; while the status is `preparing`, there is nothing to fetch and `processingId` makes it.

    `checksum`: of the archive; files have their own.
    """

    download_url: str | None
    download_token: str | None
    expires_at: str | None
    size: int | None
    files: list[DownloadFile]
    status: Literal["ready", "preparing"]
    format: str
    compression: str
    checksum: str | None
    processing_id: str | None

    @classmethod
    def of(cls, found: Granted | Preparing, base_url: str) -> Self:
        if isinstance(found, Preparing):
            nothing = dict.fromkeys(("download_url", "download_token", "expires_at", "size", "checksum"))
            return cls.model_validate(nothing | vars(found) | {"status": "preparing", "files": []})
        download, archive = found.download, found.download.archive
        listed = f"{base_url}/v2/training/downloads/{found.token}"
        return cls(
            download_url=found.urls[archive.name] if archive else listed,
            download_token=found.token,
            expires_at=download.expires_at,
            size=download.size,
            files=[DownloadFile.of(file, found.urls.get(file.name)) for file in download.files],
            status="ready",
            format=download.format,
            compression=download.compression,
            checksum=archive.checksum if archive else None,
            processing_id=None,
        )


class DownloadFiles(CamelAnswer):
    """What a token leads to where there is no archive."""

    model_id: str
    format: str
    expires_at: str
    files: list[DownloadFile]

    @classmethod
    def of(cls, found: Granted) -> Self:
        download = found.download
        files = [DownloadFile.of(file, found.urls[file.name]) for file in download.files]
        return cls(model_id=download.model_id, format=download.format, expires_at=download.expires_at, files=files)
