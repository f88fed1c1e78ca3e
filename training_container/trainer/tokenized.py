"""Tokenized rows on disk: an Arrow file per part, which is mapped into memory instead of being read into it.

A set of parts is written once under a key and found again by it: after a restart on the same volume, and by the other
processes of the same machine, which wait for the first. The index, written last, makes the files count: it has their
checksums, and what is damaged is written again.
"""

import fcntl
import json
import os
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from trainer import files, log
from trainer.encoding import Columns

# The columns that TRL's trainers take for each method.
COLUMNS = {
    "sft": ("input_ids", "labels"),
    "dpo": ("prompt_ids", "chosen_ids", "rejected_ids"),
    "orpo": ("prompt_ids", "chosen_ids", "rejected_ids"),
    "kto": ("prompt_ids", "completion_ids", "label"),
}
Index = dict[str, Any]


def obtain(folder: Path, key: str, write: Callable[[Callable[[str], Path]], Index]) -> Index:
    """The index of the parts stored under `key`; `write` makes them where none are or where they are not whole.

    `write` is given a function from a part's name to the path to write it to; its files appear in the folder only when
    it returns. Raises what `write` raises, and OSError on a full disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / f"{key}.json"
    with _alone(folder / f"{key}.lock"):
        if stored := _read(index):
            return stored
        drafts = folder / f".{key}"
        try:
            return _write(drafts, index, write)
        finally:
            for path in drafts.glob("*"):
                path.unlink()
            drafts.rmdir()


def path_of(folder: Path, key: str, part: str) -> Path:
    """Where a part's Arrow file lies."""
    return folder / f"{key}.{part}.arrow"


def _write(drafts: Path, index: Path, write: Callable[[Callable[[str], Path]], Index]) -> Index:
    drafts.mkdir(exist_ok=True)
    content = write(lambda part: drafts / part)
    checksums = {}
    for path in sorted(drafts.iterdir()):
        final = path_of(index.parent, index.stem, path.name)
        checksums[final.name] = files.xxh3(path)
        os.replace(path, final)
    files.write_json(index, {"files": checksums, **content})
    return content


def _read(index: Path) -> Index | None:
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        checksums = content.pop("files")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    damaged = [name for name, checksum in checksums.items() if not _is_whole(index.parent / name, checksum)]
    if damaged:
        log.warning("damaged tokenized rows are made again", files=damaged)
    return None if damaged else content


def _is_whole(path: Path, checksum: str) -> bool:
    try:
        return files.xxh3(path) == checksum
    except OSError:
        return False


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time. The system gives the lock back when its holder dies, however it dies."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Writer:
    """An Arrow file of examples; `label` is a bool, the other columns are lists of int32. To be used in a `with`."""

    def __init__(self, path: Path, method: str) -> None:
        import pyarrow

        ids = pyarrow.list_(pyarrow.int32())
        self._schema = pyarrow.schema({name: ids if name != "label" else pyarrow.bool_() for name in COLUMNS[method]})
        self._file = pyarrow.OSFile(str(path), "wb")
        self._stream = pyarrow.ipc.new_stream(self._file, self._schema)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        self._file.close()

    def write(self, examples: list[Columns]) -> None:
        """Add one record batch."""
        from pyarrow import record_batch

        if examples:
            arrays = [_column([example[name] for example in examples], name) for name in self._schema.names]
            self._stream.write_batch(record_batch(arrays, schema=self._schema))


def _column(values: list[Any], name: str) -> Any:
    """An Arrow array from its buffers: pyarrow.array would import pandas, and looks at every number."""
    import numpy as np
    from pyarrow import Array, ListArray, bool_, int32, list_, py_buffer

    if name == "label":
        return Array.from_buffers(bool_(), len(values), [None, py_buffer(np.packbits(values, bitorder="little"))])
    numbers = array("i", chain.from_iterable(values))
    ends = array("i", accumulate(map(len, values), initial=0))
    children = [Array.from_buffers(int32(), len(numbers), [None, py_buffer(numbers)])]
    return ListArray.from_buffers(list_(int32()), len(values), [None, py_buffer(ends)], children=children)
