"""Publishing the dashboard: what lies in the bucket afterwards, and how long it may be kept."""

from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from infra.dashboard import publish


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "index-a1.js").write_text("let a")
    (tmp_path / "index.html").write_text("<!doctype html>")
    return tmp_path


@mock_aws
def test_files_are_published_with_their_types_and_the_page_is_asked_for_every_time(folder: Path) -> None:
    s3 = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="files")
    assert publish(folder, s3, "files") == 2
    told = {key: s3.head_object(Bucket="files", Key=key) for key in ("index.html", "assets/index-a1.js")}
    assert {key: (one["ContentType"], one["CacheControl"]) for key, one in told.items()} == {
        "index.html": ("text/html", "no-cache"),
        "assets/index-a1.js": ("text/javascript", "public, max-age=31536000, immutable"),
    }


def test_a_page_never_names_an_asset_that_is_not_there_yet(folder: Path) -> None:
    class Cut:
        """A network that breaks after the first file."""

        def __init__(self) -> None:
            self.put: list[str] = []

        def put_object(self, **given: Any) -> None:
            if self.put:
                raise ConnectionError
            self.put.append(given["Key"])

    s3 = Cut()
    with pytest.raises(ConnectionError):
        publish(folder, s3, "files")
    assert s3.put == ["assets/index-a1.js"]


def test_what_was_not_built_is_not_published(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        publish(tmp_path, None, "files")
