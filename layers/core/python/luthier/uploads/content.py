"""The parts of an upload in S3: one object each, under its id."""

from collections.abc import Iterator
from typing import Any

from luthier import objects
from luthier.uploads.entity import Upload


class UploadParts:
    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def write(self, upload: Upload, part_id: str, content: bytes) -> None:
        self._s3.put_object(Bucket=self._bucket, Key=f"{upload.folder}{part_id}", Body=content)

    def sizes(self, upload: Upload) -> dict[str, int]:
        """Bytes of every part that has arrived, by its id."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=upload.folder)
        found = (entry for page in pages for entry in page.get("Contents", []))
        return {entry["Key"].removeprefix(upload.folder): entry["Size"] for entry in found}

    def pieces(self, upload: Upload) -> Iterator[bytes]:
        """The parts in the order in which the upload was completed, one at a time."""
        for part_id in upload.part_ids:
            yield self._s3.get_object(Bucket=self._bucket, Key=f"{upload.folder}{part_id}")["Body"].read()

    def remove(self, upload: Upload) -> None:
        """Remove all parts. What a failure, or a part that comes late, leaves behind goes by the bucket's own rule."""
        objects.delete_under(self._s3, self._bucket, upload.folder)
