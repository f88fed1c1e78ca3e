"""What travels to S3 while a job trains: whole files and whole lines only."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import moto
import pytest

from infra.local.sagemaker.checkpoints import CheckpointSync
from infra.local.sagemaker.storage import Storage

URI = "s3://artifacts/jobs/one/checkpoints/"


@pytest.fixture
def s3() -> Iterator[Any]:
    with moto.mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="artifacts")
        yield client


def _sync(s3: Any, folder: Path) -> CheckpointSync:
    folder.mkdir(exist_ok=True)
    return CheckpointSync(Storage(s3, folder.parent / "cache"), folder, URI, None)


def _sent(s3: Any) -> dict[str, bytes]:
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="artifacts").get("Contents", [])]
    prefix = "jobs/one/checkpoints/"
    return {key.removeprefix(prefix): s3.get_object(Bucket="artifacts", Key=key)["Body"].read() for key in keys}


def test_a_file_travels_once_it_stood_still_between_two_looks(s3: Any, tmp_path: Path) -> None:
    sync, weights = _sync(s3, tmp_path / "job"), tmp_path / "job" / "weights.bin"
    weights.write_bytes(b"half")
    sync.sync()
    weights.write_bytes(b"whole")
    sync.sync()
    assert _sent(s3) == {}

    sync.sync()

    assert _sent(s3) == {"weights.bin": b"whole"}


def test_metrics_travel_at_once_up_to_their_last_whole_line(s3: Any, tmp_path: Path) -> None:
    sync = _sync(s3, tmp_path / "job")
    (tmp_path / "job" / "metrics.jsonl").write_bytes(b'{"step": 1}\n{"ste')

    sync.sync()

    assert _sent(s3) == {"metrics.jsonl": b'{"step": 1}\n'}


def test_the_last_sync_sends_all_but_unfinished_files(s3: Any, tmp_path: Path) -> None:
    sync = _sync(s3, tmp_path / "job")
    (tmp_path / "job" / "result.json").write_bytes(b"{}")
    (tmp_path / "job" / "weights.tmp").write_bytes(b"never finished")

    sync.sync(final=True)

    assert _sent(s3) == {"result.json": b"{}"}


def test_a_checkpoint_deleted_while_it_is_sent_is_passed_over(s3: Any, tmp_path: Path) -> None:
    sync = _sync(s3, tmp_path / "job")
    (tmp_path / "job" / "gone.bin").symlink_to(tmp_path / "nowhere")
    (tmp_path / "job" / "result.json").write_bytes(b"{}")

    sync.sync(final=True)

    assert _sent(s3) == {"result.json": b"{}"}


def test_what_was_brought_back_is_not_sent_again(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="artifacts", Key="jobs/one/checkpoints/checkpoint-5/weights.bin", Body=b"kept")
    before = s3.list_objects_v2(Bucket="artifacts")["Contents"][0]["LastModified"]
    sync = _sync(s3, tmp_path / "job")

    sync.restore()
    sync.sync(final=True)

    assert (tmp_path / "job" / "checkpoint-5" / "weights.bin").read_bytes() == b"kept"
    assert s3.list_objects_v2(Bucket="artifacts")["Contents"][0]["LastModified"] == before


def test_a_cached_download_is_linked_into_every_job_and_read_only(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="artifacts", Key="model/weights.safetensors", Body=b"base")
    storage = Storage(s3, tmp_path / "cache")

    for job in ("one", "two"):
        storage.download("s3://artifacts/model/", tmp_path / job, cached=True)

    first, second = (tmp_path / job / "weights.safetensors" for job in ("one", "two"))
    assert first.read_bytes() == b"base"
    assert first.samefile(second)
    assert first.stat().st_mode & 0o222 == 0
