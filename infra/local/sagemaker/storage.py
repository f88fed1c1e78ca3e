"""Files between S3 and a job's folder, under the job's own role."""

import contextlib
import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import boto3

from infra.local import emulator
from infra.local.options import REGION

# Size in bytes and time of the last change in nanoseconds.
Stamp = tuple[int, int]


def role_client(service: str, endpoint_url: str, role_arn: str, session_name: str) -> Any:
    """A client that may do what the role may do, as in SageMaker."""
    credentials = emulator.role_session(role_arn, session_name, os.urandom(32).hex())
    return boto3.session.Session(**credentials).client(service, endpoint_url=endpoint_url, region_name=REGION)


def split_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/prefix` → bucket and prefix without slashes around it."""
    parts = urlparse(uri)
    return parts.netloc, parts.path.strip("/")


class Storage:
    """Downloads and uploads of one job or endpoint.

    Args:
        client: an S3 client of the job's role.
        cache: folder of files downloaded once and hard-linked into every job; they are read-only.
    """

    def __init__(self, client: Any, cache: Path) -> None:
        self._client = client
        self._cache = cache

    def objects(self, uri: str) -> list[dict[str, Any]]:
        """Key, Size and ETag of every object under the prefix (or of the one object with that key)."""
        bucket, prefix = split_uri(uri)
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        found = [item for page in pages for item in page.get("Contents", [])]
        return [item for item in found if item["Key"] == prefix or item["Key"].startswith(f"{prefix}/") or not prefix]

    def download(self, uri: str, folder: Path, cached: bool = False) -> int:
        """Copy everything under the prefix into the folder; returns the number of files."""
        bucket, prefix = split_uri(uri)
        folder.mkdir(parents=True, exist_ok=True)
        objects = self.objects(uri)
        for item in objects:
            relative = item["Key"][len(prefix) :].strip("/") or Path(item["Key"]).name
            target = _inside(folder, relative)
            target.parent.mkdir(parents=True, exist_ok=True)
            if cached:
                self._link(bucket, item, target)
            else:
                self._client.download_file(bucket, item["Key"], str(target))
        return len(objects)

    def _link(self, bucket: str, item: dict[str, Any], target: Path) -> None:
        name = hashlib.sha256(f"{bucket}/{item['Key']}/{item['ETag']}".encode()).hexdigest()
        kept = self._cache / name
        if not kept.exists():
            self._cache.mkdir(parents=True, exist_ok=True)
            partial = self._cache / f"{name}.{os.urandom(4).hex()}.part"
            self._client.download_file(bucket, item["Key"], str(partial))
            partial.chmod(0o444)
            partial.replace(kept)
        try:
            os.link(kept, target)
        except OSError:  # another file system
            shutil.copyfile(kept, target)

    def upload(self, source: Path | bytes, uri: str, kms_key: str | None = None) -> None:
        """Put one file, or these bytes, at the address."""
        bucket, key = split_uri(uri)
        extra = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        if isinstance(source, bytes):
            self._client.put_object(Bucket=bucket, Key=key, Body=source, **extra)
        else:
            self._client.upload_file(str(source), bucket, key, ExtraArgs=extra)

    def upload_folder(self, folder: Path, uri: str, kms_key: str | None = None) -> None:
        """Put every file of the folder under the prefix, in the order they were written."""
        for path in files_by_age(folder):
            self.upload(path, f"{uri.rstrip('/')}/{path.relative_to(folder).as_posix()}", kms_key)


def files_by_age(folder: Path) -> list[Path]:
    """The folder's files, oldest first: what marks a set complete is written last, so it also travels last."""
    return [path for path, _ in stamped_files(folder)]


def stamped_files(folder: Path) -> list[tuple[Path, Stamp]]:
    """The same with each file's size and time of change. The owner of the folder may be deleting files meanwhile."""
    found = []
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                found.append((path, (status.st_size, status.st_mtime_ns)))
    return sorted(found, key=lambda pair: (pair[1][1], str(pair[0])))


def _inside(folder: Path, relative: str) -> Path:
    target = (folder / relative).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise ValueError(f"The key {relative!r} leads out of the job's folder.")
    return target
