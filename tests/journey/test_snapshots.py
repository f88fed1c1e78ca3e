"""The cloud's state file: whole at any moment, whatever the disk does."""

import json
from pathlib import Path

from infra.local.snapshots import Blobs, Snapshots, with_queues_at


def test_a_full_disk_keeps_the_last_snapshot_and_says_so(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "snapshot.json", 4566, dict)
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


def test_queues_are_found_where_the_services_answer_in_this_life(tmp_path: Path) -> None:
    queue, other = "http://localhost:{}/000000000000/Batches", "http://localhost:4566/hook"
    saved = json.dumps({"urls": [queue.format(4566)], "note": other})

    assert json.loads(with_queues_at(5000, saved)) == {"urls": [queue.format(5000)], "note": other}
