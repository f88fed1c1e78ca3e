"""One rendering path has one hash: said by the check of the data, by the model card, and proven when it is served."""

import json
import shutil
from pathlib import Path

import pytest

from tests.container.conftest import TICKETS
from tests.container.programs import run
from tests.container.test_training import card
from trainer import generation
from trainer.failures import Failure


def test_check_card_and_server_agree(tuned: Path, tiny: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    asked = ["--train", TICKETS / "train.jsonl", "--model", tiny, "--output", report]
    assert run("trainer.validate", *asked).exit_code == 0
    assert json.loads(report.read_text())["template_sha256"] == card(tuned)["template_sha256"]
    generation.load(tiny, tmp_path / "adapters").adapters.check(tuned / "model")


def test_a_model_is_not_served_with_another_template(tuned: Path, tiny: Path, tmp_path: Path) -> None:
    changed = tmp_path / "model"
    shutil.copytree(tuned / "model", changed)
    template = changed / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    with pytest.raises(Failure, match="the model was trained with") as caught:
        generation.load(tiny, tmp_path / "adapters").adapters.check(changed)
    assert caught.value.code == "template_mismatch"


def test_a_model_is_not_served_with_another_tokenizer(tuned: Path, tiny: Path, tmp_path: Path) -> None:
    changed = tmp_path / "model"
    shutil.copytree(tuned / "model", changed)
    path = changed / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["merges"] = content["model"]["merges"][:-1]
    path.write_text(json.dumps(content))
    with pytest.raises(Failure, match="the model was trained with"):
        generation.load(tiny, tmp_path / "adapters").adapters.check(changed)
