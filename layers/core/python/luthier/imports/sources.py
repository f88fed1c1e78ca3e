"""The S3 objects of an import: a prefix of somebody's bucket, or files that are uploaded into ours."""

from typing import Any, NamedTuple

from luthier import objects
from luthier.foreign_buckets import ForeignBuckets
from luthier.imports import files, refusals
from luthier.imports.entity import File, Import, folder
from luthier.settings import Settings

URL_SECONDS = 3600
_CONTENT_TYPE = "application/octet-stream"
_MOST_OBJECTS = 500
_LONGEST_URI = 1_000  # bytes; SageMaker takes 1,024, prefix and slash included


class Upload(NamedTuple):
    """Where a file goes: PUT it to `url` with `headers` within the hour."""

    name: str
    url: str
    headers: dict[str, str]


class Found(NamedTuple):
    """A prefix with a model below it; bytes: of all objects."""

    uri: str
    bytes: int


class ImportSources:
    def __init__(self, s3: Any, settings: Settings) -> None:
        self._s3 = s3
        self._bucket = settings.data_bucket
        self._buckets = ForeignBuckets(settings)

    def look(self, organization_id: str, uri: str) -> Found:
        """What lies below an address. Raises InvalidRequest and PayloadTooLarge."""
        bucket, prefix = objects.parts(uri)
        prefix = f"{prefix.rstrip('/')}/"
        if not uri.startswith("s3://") or not bucket or prefix == "/" or not uri.isprintable():
            raise refusals.bad_address(uri)
        if len(uri.encode()) > _LONGEST_URI:
            raise refusals.bad_address(uri)
        if not self._buckets.may_read(bucket, organization_id):
            raise refusals.bucket_not_listed(bucket)
        sizes = self._sizes(bucket, prefix)
        if len(sizes) > _MOST_OBJECTS:
            raise refusals.too_many(uri, _MOST_OBJECTS)
        if not sizes:
            raise refusals.nothing_there(uri)
        settings = files.require_model(sorted(name for name in sizes if name and "/" not in name), "source.uri")
        self._require_readable(bucket, f"{prefix}{settings}")
        return Found(f"s3://{bucket}/{prefix}", sum(sizes.values()))

    def uploads(self, imported: Import) -> list[Upload]:
        """URLs that take the files by PUT, each once and in its announced size."""
        return [self._upload(imported, file) for file in imported.files]

    def missing(self, imported: Import) -> list[str]:
        """Names of the files that have not arrived as they were announced."""
        _, prefix = objects.parts(imported.uri)
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        arrived = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
        return [file.name for file in imported.files if arrived.get(f"{prefix}{file.name}") != file.size]

    def place(self, organization_id: str, import_id: str) -> str:
        """The prefix that uploads go below."""
        return f"s3://{self._bucket}/{folder(organization_id, import_id)}"

    def _upload(self, imported: Import, file: File) -> Upload:
        # If-None-Match, because nobody may exchange a file after it was checked.
        _, prefix = objects.parts(imported.uri)
        place = {"Bucket": self._bucket, "Key": f"{prefix}{file.name}"}
        signed = {"ContentType": _CONTENT_TYPE, "ContentLength": file.size, "IfNoneMatch": "*"}
        url = self._s3.generate_presigned_url("put_object", Params=place | signed, ExpiresIn=URL_SECONDS)
        headers = {"Content-Type": _CONTENT_TYPE, "Content-Length": str(file.size), "If-None-Match": "*"}
        return Upload(file.name, url, headers)

    def _sizes(self, bucket: str, prefix: str) -> dict[str, int]:
        """Size by name below the prefix, of one object more than may be there."""
        try:
            answer = self._s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=_MOST_OBJECTS + 1)
        except self._s3.exceptions.ClientError as error:
            raise self._explained(error, bucket, prefix) from error
        return {entry["Key"].removeprefix(prefix): entry["Size"] for entry in answer.get("Contents", [])}

    def _require_readable(self, bucket: str, key: str) -> None:
        try:
            self._s3.head_object(Bucket=bucket, Key=key)
        except self._s3.exceptions.ClientError as error:
            raise self._explained(error, bucket, key) from error

    def _explained(self, error: Any, bucket: str, key: str) -> Exception:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 403:
            return refusals.access_denied(f"s3://{bucket}/{key}", self._buckets.statement(bucket))
        return refusals.nothing_there(f"s3://{bucket}/{key}") if 400 <= status < 500 else error
