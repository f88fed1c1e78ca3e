"""Objects in S3, many at a time."""

import re
from typing import Any


def parts(uri: str) -> tuple[str, str]:
    """Bucket and key, or prefix, of an `s3://` address."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def delete_under(s3: Any, bucket: str, prefix: str, *, only: re.Pattern[str] | None = None) -> None:
    """Delete every object whose key begins with `prefix` and has `only` in it. Raises OSError where S3 keeps one."""
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        found = (entry["Key"] for entry in page.get("Contents", []))
        if keys := [{"Key": key} for key in found if only is None or only.search(key)]:
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            if refused := answer.get("Errors"):
                raise OSError(f"S3 has not deleted {refused[0]['Key']}: {refused[0].get('Code')}")
