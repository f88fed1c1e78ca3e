"""Each method trains on its own columns, keeps what a crash leaves, and teaches what it is meant to teach."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.container.conftest import MakeRoot
from tests.container.programs import run, start
from tests.container.rows_of_methods import ROWS
from tests.container.test_training import card, metrics

PREFERENCE_METHODS = ("dpo", "orpo", "kto")
GENTLE = {"epochs": 4, "learning_rate": 0.002, "batch_size": 8}


def lines(root: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (root / "checkpoints" / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module", params=PREFERENCE_METHODS)
def finished(request: pytest.FixtureRequest, make_root: MakeRoot) -> Path:
    """The root of a whole run of the method, with rows held out."""
    method = request.param
    root = make_root(rows=ROWS[method](), method=method, hyperparameters=GENTLE | {"validation_share": 0.2})
    assert run("trainer.train", "--root", root).exit_code == 0
    return root


def test_the_loss_falls(finished: Path) -> None:
    losses = list(metrics(finished).values())
    assert sum(losses[-3:]) < sum(losses[:3])


def test_the_wanted_answers_become_likelier_than_the_others(finished: Path) -> None:
    content = card(finished)
    base, tuned = content["evaluation"]["base"], content["evaluation"]["tuned"]
    names = [name for name in tuned if "preference_accuracy" in name or "margin" in name] or list(tuned)
    assert any(tuned[name] > base[name] for name in names if isinstance(tuned[name], int | float)), (base, tuned)


def test_the_card_names_the_method_and_its_hyperparameters(finished: Path) -> None:
    content = card(finished)
    assert content["method"] in PREFERENCE_METHODS
    assert content["hyperparameters"]["beta"] == 0.1
    assert content["serving"] == {"kind": "adapter", "path": "."}
    assert content["trained_tokens"] > 0


def test_rewards_are_reported_while_it_trains(finished: Path) -> None:
    training = [line for line in lines(finished) if line["phase"] == "training"]
    assert all("reward_margin" in line for line in training)


@pytest.mark.parametrize("method", PREFERENCE_METHODS)
def test_a_killed_run_continues_with_the_same_losses(make_root: MakeRoot, method: str) -> None:
    def make() -> Path:
        return make_root(rows=ROWS[method](), method=method, hyperparameters=GENTLE, evaluation={"generate": False})

    whole, cut = make(), make()
    assert run("trainer.train", "--root", whole).exit_code == 0
    program = start("trainer.train", "--root", cut)
    program.wait_for(lambda: (cut / "checkpoints" / "metrics.jsonl").exists() and max(metrics(cut), default=0) >= 6)
    program.kill()
    assert run("trainer.train", "--root", cut).exit_code == 0
    assert metrics(cut) == metrics(whole)


@pytest.mark.parametrize(("rows", "batch"), [(8, 4), (9, 4), (10, 4), (3, 2), (2, 8)])
def test_kto_compares_each_answer_with_one_of_another_row(rows: int, batch: int) -> None:
    from trainer.recipes.kto import mismatched

    partners = mismatched(rows, batch)
    assert len(partners) == rows
    assert all(partner != row for row, partner in enumerate(partners))


def test_kto_shuffles_rows_that_are_sorted_by_label(make_root: MakeRoot) -> None:
    rows = sorted(ROWS["kto"](), key=lambda row: json.loads(row)["label"])
    asked = GENTLE | {"epochs": 1, "batch_size": 4}
    root = make_root(rows=rows, method="kto", hyperparameters=asked, evaluation={"generate": False})
    assert run("trainer.train", "--root", root).exit_code == 0
    # A batch of one label has no margin between the two.
    margins = [line["reward_margin"] for line in lines(root) if "reward_margin" in line]
    assert len(margins) > 4


@pytest.mark.parametrize(
    ("method", "given", "columns"),
    [("dpo", "sft", "chosen"), ("orpo", "kto", "rejected"), ("kto", "dpo", "label"), ("sft", "dpo", "messages")],
)
def test_rows_of_another_method_are_refused_before_anything_is_loaded(
    make_root: MakeRoot, method: str, given: str, columns: str
) -> None:
    root = make_root(rows=ROWS[given](), method=method)
    (root / "input" / "data" / "model" / "model.safetensors").stat()
    program = run("trainer.train", "--root", root)
    assert program.exit_code == 1
    said = json.loads((root / "output" / "failure").read_text())
    assert said["code"] == "bad_dataset"
    assert columns in said["message"] + said["hint"]
    assert not any(line["message"] == "memory estimated" for line in program.lines)
