"""Rows are tokenized once, kept on disk as long as they fit, and never held in memory."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.container.rows import CONVERSATION, PREFERENCE, fill, numbered, settings
from tests.container.test_data import MARKED
from trainer import data
from trainer.failures import Failure
from trainer.templates import PLAIN_TEMPLATE


def test_tokenized_rows_are_used_again_after_a_restart(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer.chat_template = None
    folders = fill(tmp_path, numbered(60))
    first = data.load(folders, tokenizer, settings())
    monkeypatch.setattr(data.encoding, "encode_rendered", None)
    tokenizer.chat_template = None
    again = data.load(folders, tokenizer, settings())
    assert again == first
    assert [list(part.dataset) for part in again if part] == [list(part.dataset) for part in first if part]
    assert tokenizer.chat_template == PLAIN_TEMPLATE


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("damage", ["cut off", "emptied", "changed", "gone", "index cut off", "index of another form"])
def test_tokenized_rows_that_are_damaged_are_made_again(tmp_path: Path, tokenizer: Any, part: str, damage: str) -> None:
    folders = fill(tmp_path, numbered(60))
    first = [list(examples.dataset) for examples in data.load(folders, tokenizer, settings()) if examples]
    (path,) = (tmp_path / "tokenized").glob(f"*.{part}.arrow")
    (index,) = (tmp_path / "tokenized").glob("*.json")
    content = path.read_bytes()
    if damage == "cut off":
        os.truncate(path, len(content) // 2)
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "changed":
        place = len(content) * 3 // 4
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    elif damage == "gone":
        path.unlink()
    elif damage == "index cut off":
        os.truncate(index, index.stat().st_size // 2)
    elif damage == "index of another form":
        index.write_text("[]")
    assert [list(examples.dataset) for examples in data.load(folders, tokenizer, settings()) if examples] == first
    assert path.read_bytes() == content


@pytest.mark.parametrize("change", ["rows", "length", "template", "seed", "method"])
def test_what_was_tokenized_otherwise_is_not_used(tmp_path: Path, tokenizer: Any, change: str) -> None:
    folders = fill(tmp_path, numbered(60))
    first, _ = data.load(folders, tokenizer, settings())
    asked = settings()
    if change == "rows":
        fill(tmp_path, numbered(61))
    elif change == "length":
        asked = settings(max_sequence_length=64)
    elif change == "template":
        tokenizer.chat_template = MARKED
    elif change == "seed":
        asked = settings(seed=1)
    elif change == "method":
        fill(tmp_path, [PREFERENCE] * 3)
        asked = settings("dpo")
    again, _ = data.load(folders, tokenizer, asked)
    assert again.path != first.path
    assert len(list(again.dataset)) == len(again)


def test_a_failed_or_killed_writer_leaves_nothing_that_counts(tmp_path: Path, tokenizer: Any) -> None:
    folders = fill(tmp_path, [*numbered(3), CONVERSATION])
    with pytest.raises(Failure):
        data.load(folders, tokenizer, settings())
    assert [path.suffix for path in (tmp_path / "tokenized").iterdir()] == [".lock"]
    key = next((tmp_path / "tokenized").iterdir()).stem
    drafts = tmp_path / "tokenized" / f".{key}"
    drafts.mkdir()
    (drafts / "train").write_bytes(b"half")
    with pytest.raises(Failure):
        data.load(folders, tokenizer, settings())
    assert not drafts.exists()


PROGRAM = """
import resource, sys, json
sys.modules["torch"] = None  # takes seconds to import, and reading data must not need it
from pathlib import Path
from types import SimpleNamespace
from transformers import AutoTokenizer
from trainer import data, encoding
from trainer.config import Data
from trainer.folders import Folders

tokenized = []
encode = encoding.encode_rendered
encoding.encode_rendered = lambda *given: tokenized.append(len(given[1])) or encode(*given)
asked = SimpleNamespace(max_sequence_length=512, validation_share="auto", max_truncated_share=1.0)
config = SimpleNamespace(method="sft", seed=42, data=Data(), hyperparameters=asked)
train, validation = data.load(Folders(Path(sys.argv[2])), AutoTokenizer.from_pretrained(sys.argv[1]), config)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rows = train.rows + validation.rows
print(json.dumps({"peak": peak, "rows": rows, "tokenized": sum(tokenized), "path": str(train.path)}))
"""


def program(tiny: Path, root: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "RAYON_NUM_THREADS": "2"}
    command = [sys.executable, "-c", PROGRAM, str(tiny), str(root)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def result(process: "subprocess.Popen[str]") -> dict[str, Any]:
    output, _ = process.communicate(timeout=120)
    return json.loads(output.splitlines()[-1])


def test_processes_of_one_machine_tokenize_once_between_them(tmp_path: Path, tiny: Path) -> None:
    fill(tmp_path, numbered(400))
    results = [result(process) for process in [program(tiny, tmp_path) for _ in range(2)]]
    assert sorted(one["tokenized"] for one in results) == [0, 400]
    assert results[0]["path"] == results[1]["path"]


def test_memory_stays_flat_whatever_the_size_of_the_file(tmp_path: Path, tiny: Path) -> None:
    few, many = 8_000, 32_000
    for rows in (few, many):
        fill(tmp_path / str(rows), [{"text": f"{number}: and so on" + ", and so on" * 12} for number in range(rows)])
    small, large = (result(program(tiny, tmp_path / str(rows))) for rows in (few, many))
    assert (small["rows"], large["rows"]) == (few, many)
    stored = sum(path.stat().st_size for path in (tmp_path / str(many) / "tokenized").iterdir()) / 2**20
    # Hash and rank of a row take some bytes.
    assert large["peak"] - small["peak"] < 8 < stored
