"""Hashes of rows: the same answers from the dict, the table and the file, in a bounded memory."""

import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.datasets.row_hashes import RowHashes

HASHES = st.lists(st.one_of(st.integers(-3, 3), st.integers(-(2**63), 2**63 - 1)), max_size=60)


@given(HASHES, st.integers(0, 20), st.integers(1, 40))
def test_dict_table_and_file_answer_like_a_dict(hashes: list[int], in_dict: int, in_memory: int) -> None:
    ours = RowHashes(in_dict, in_memory)
    # 0 and 1 share a slot's value, because 0 says that a slot is free.
    first: dict[int, int] = {}
    for line, row_hash in enumerate((h for h in hashes if h != 0), start=1):
        assert ours.line_of(row_hash) == first.get(row_hash, 0)
        assert ours.add(row_hash, line) == first.get(row_hash, 0)
        first.setdefault(row_hash, line)
    assert len(ours) == len(first)
    assert ours.spilled == (len(first) > in_memory)
    assert all(ours.line_of(row_hash) == line for row_hash, line in first.items())
    ours.close()


def test_a_hundred_thousand_hashes_are_all_found_again_in_table_and_file() -> None:
    dice = random.Random(0)
    hashes = [dice.getrandbits(64) for _ in range(100_000)]
    ours = RowHashes(in_dict=1_000, in_memory=60_000)
    assert not any(ours.add(row_hash, line) for line, row_hash in enumerate(hashes, start=1))
    assert [ours.add(row_hash, 0) for row_hash in hashes] == list(range(1, 100_001))
    assert ours.spilled
    ours.close()


def test_the_table_takes_at_most_36_bytes_a_row() -> None:
    ours = RowHashes(in_dict=0)
    for count in (10_000, 100_000):
        for row_hash in range(count):
            ours.add(hash((row_hash,)), 1)
        assert sys.getsizeof(ours._keys) + sys.getsizeof(ours._lines) <= 36 * count


def test_a_file_is_never_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    ours = RowHashes(in_dict=0, in_memory=1)
    for row_hash in range(1, 1_000):
        ours.add(row_hash, row_hash)
    ours.close()
    assert list(tmp_path.iterdir()) == []
