"""Rows with tool calls, from the validator through a run to the loss: the calls are trained, their results are not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.container.conftest import MakeRoot
from tests.container.programs import run
from tests.container.rows import TOOL_TEMPLATE, TOOL_USE
from tests.container.test_training import metrics

CITIES = ("Bergen", "Oslo", "Turku", "Riga", "Kyiv", "Porto", "Lyon", "Graz")


def told(city: str) -> dict[str, Any]:
    """The conversation about another city."""
    return json.loads(json.dumps(TOOL_USE).replace("Bergen", city))


def called(city: str) -> str:
    return f'<tool_call>{{"name": "get_weather", "arguments": {{"city": "{city}"}}}}</tool_call><|im_end|>'


@pytest.fixture
def root(make_root: MakeRoot, with_template: Callable[[str], Path]) -> Path:
    """A job whose base model knows tools, with 8 rows in steps of 4."""
    root = make_root(rows=[json.dumps(told(city)) for city in CITIES], hyperparameters={"batch_size": 4})
    (root / "input" / "data" / "model").unlink()
    (root / "input" / "data" / "model").symlink_to(with_template(TOOL_TEMPLATE))
    return root


def test_calls_of_tools_are_validated_trained_and_learned(root: Path, tokenizer: Any) -> None:
    from datasets import Dataset

    lines = [str(number) for number in range(1, len(CITIES) + 1)]
    assert run("trainer.validate", "--root", root, "--preview-line", *lines).exit_code == 0
    (report,) = json.loads((root / "output" / "data" / "report.json").read_text())["train"]
    assert (report["ok"], report["findings"], report["examples"]) == (True, [], len(CITIES))
    for city, shown in zip(CITIES, report["previews"], strict=True):
        (sequence,) = shown["sequences"]
        assert [one["text"] for one in sequence["trained"]] == [called(city), "Yes, it rains.<|im_end|>"]

    assert run("trainer.train", "--root", root).exit_code == 0
    (stored,) = (root / "tokenized").glob("*.train.arrow")
    examples = list(Dataset.from_file(str(stored)))
    masks = [[int(label >= 0) for label in example["labels"]] for example in examples]
    assert masks == [shown["sequences"][0]["loss_mask"] for shown in report["previews"]]
    for city, example in zip(CITIES, examples, strict=True):
        trained = [label for label in example["labels"] if label >= 0]
        assert tokenizer.decode(trained) == called(city) + "Yes, it rains.<|im_end|>"
        assert "8 degrees, rain" in tokenizer.decode(example["input_ids"])

    losses = list(metrics(root).values())
    assert len(losses) == 8
    assert losses[-1] < losses[0] / 2
    assert (root / "model" / "chat_template.jinja").read_text() == TOOL_TEMPLATE
