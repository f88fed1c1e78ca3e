"""The cloud's state file: whole at any moment, whatever the disk does."""

from pathlib import Path

from infra.local.snapshots import Blobs, Snapshots


def test_a_full_disk_keeps_the_last_snapshot_and_says_so(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "snapshot.json", dict)
    snapshots.write(b"{}")
    (tmp_path / "snapshot.tmp").symlink_to("/dev/full")

    snapshots.write(b'{"s3": {}}')

    assert snapshots.failure is not None
    assert snapshots.failure.endswith("No space left on device. Free space on this disk.")
    assert (tmp_path / "snapshot.json").read_bytes() == b"{}"

    snapshots.write(b'{"s3": {}}')
    assert snapshots.failure is None
    assert (tmp_path / "snapshot.json").read_bytes() == b'{"s3": {}}'


def test_large_bytes_lie_in_files_of_their_own(tmp_path: Path) -> None:
    code = b"x" * 100_000
    reference = Blobs(tmp_path).keep(code)

    assert reference is not None
    assert Blobs(tmp_path).read(reference) == code
    assert Blobs(tmp_path).keep(b"small") is None
    assert Blobs(tmp_path).read({"Name": "no reference"}) is None
