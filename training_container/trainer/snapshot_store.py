"""A model snapshot in S3. It counts once manifest.json lies beside its files; each file carries its own sha256."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trainer.failures import Failure

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Stored:
    size: int
    sha256: str


class SnapshotStore:
    """`destination` is s3://bucket/prefix, `s3` a boto3 client."""

    def __init__(self, s3: Any, destination: str) -> None:
        parts = urlsplit(destination)
        if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
            raise Failure("bad_config", f"STAGE_DESTINATION must be s3://bucket/prefix, not {destination!r}.")
        self._s3 = s3
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")

    def has_manifest(self) -> bool:
        return self._head(MANIFEST) is not None

    def sha256_of(self, path: str, size: int | None) -> Stored | None:
        """What is stored under `path`, if it is whole: of the given size and with a sha256."""
        head = self._head(path)
        if head is None or "sha256" not in head["Metadata"] or size not in (None, head["ContentLength"]):
            return None
        return Stored(head["ContentLength"], head["Metadata"]["sha256"])

    def upload(self, source: Path, path: str, sha256: str) -> None:
        """In parts where the file is large; S3 shows an object only when all of it has arrived."""
        self._s3.upload_file(str(source), self._bucket, self._key(path), ExtraArgs={"Metadata": {"sha256": sha256}})

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        body = json.dumps(manifest, indent=2).encode()
        self._s3.put_object(Bucket=self._bucket, Key=self._key(MANIFEST), Body=body, ContentType="application/json")

    def _head(self, path: str) -> Any:
        from botocore.exceptions import ClientError

        try:
            return self._s3.head_object(Bucket=self._bucket, Key=self._key(path))
        except ClientError as error:
            # Without permission to list, S3 says 403 where it would say 404; a real lack of rights fails the upload.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404):
                return None
            raise

    def _key(self, path: str) -> str:
        return f"{self._prefix}/{path}"
