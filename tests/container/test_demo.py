import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demo import demo_model, snapshot, tiny_model
from luthier.datasets.report import examine
from tests.container.conftest import TICKETS
from trainer import files

INTENTS = {"billing", "delivery", "login", "bug", "cancel"}
URGENCIES = {"high", "normal", "low"}


def conversations(name: str) -> list[list[dict[str, str]]]:
    return [json.loads(line)["messages"] for line in (TICKETS / f"{name}.jsonl").read_text().splitlines()]


def answers(name: str) -> list[dict[str, Any]]:
    return [json.loads(messages[-1]["content"]) for messages in conversations(name)]


@pytest.mark.parametrize("name", ["train", "heldout"])
def test_the_tickets_pass_the_platforms_own_check(name: str) -> None:
    report = examine([(TICKETS / f"{name}.jsonl").read_bytes()])
    assert report.ok
    assert report.format == "messages"


@pytest.mark.parametrize("name", ["train", "heldout"])
def test_every_label_occurs_and_none_dominates(name: str) -> None:
    given = answers(name)
    assert all(list(answer) == ["intent", "urgency"] for answer in given)
    intents, urgencies = (Counter(answer[label] for answer in given) for label in ("intent", "urgency"))
    assert set(intents) == INTENTS
    assert set(urgencies) == URGENCIES
    assert max(urgencies.values()) <= 0.45 * len(given)


def test_no_ticket_is_asked_twice_nor_held_out_after_being_trained() -> None:
    tickets = [messages[1]["content"] for name in ("train", "heldout") for messages in conversations(name)]
    assert len(tickets) == len(set(tickets))


def test_the_tiny_model_is_the_same_every_time(tiny: Path, tmp_path: Path) -> None:
    again = tiny_model.build(tmp_path / "tiny")
    assert files.sha256(again / "model.safetensors") == files.sha256(tiny / "model.safetensors")
    assert files.sha256(again / "tokenizer.json") == files.sha256(tiny / "tokenizer.json")


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        snapshot.build(tmp_path / "model", fail)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_model_is_not_built_again(tiny: Path) -> None:
    assert snapshot.build(tiny, lambda folder: pytest.fail("built again")) == tiny


def test_the_rotary_order_of_llama_cpp_is_undone() -> None:
    heads, rows, columns = 3, 24, 5
    ours = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns)
    # What llama.cpp's converter does to q and k (convert_hf_to_gguf.py, LlamaModel.permute).
    theirs = ours.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    assert (demo_model._undo_rotary_order(theirs, heads) == ours).all()
