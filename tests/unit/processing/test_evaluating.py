"""The score of an evaluation, from what the evaluator leaves."""

from typing import Any

import pytest

from luthier.processing import evaluating
from tests.functional.processing import world


@pytest.mark.parametrize(
    ("numbers", "metric", "score"),
    [
        ({"exact_match": 0.0, "f1": 0.4, "token_accuracy": 0.9}, "exact_match", 0.0),
        ({"f1": 0.4, "token_accuracy": 0.9}, "f1", 40.0),
        ({"token_accuracy": 0.9, "loss": 1.0}, "token_accuracy", 90.0),
        ({"preference_accuracy": 0.75}, "preference_accuracy", 75.0),
        ({"desirable_loss": 1.0}, None, None),
    ],
)
def test_an_eval_set_is_scored_by_the_first_number_that_its_rows_allow(
    numbers: dict[str, float], metric: str | None, score: float | None
) -> None:
    found = evaluating._of_rows({"tuned": numbers}, "tuned")
    assert (found["metric"], found["score"]) == (metric, score)


def test_a_share_has_a_standard_error() -> None:
    assert evaluating._of_rows(world.TABLE, "tuned")["stderr"] == 5.02


def tasks(**values: float | None) -> dict[str, Any]:
    return {
        task: {"metric": None} if value is None else {"metric": "acc", "tuned": {"value": value, "stderr": 0.03}}
        for task, value in values.items()
    }


def test_a_benchmark_is_scored_by_the_task_of_its_name() -> None:
    table = {"scores": tasks(mmlu=0.4, mmlu_law=0.9)}
    assert evaluating._of_tasks(table, "tuned", "mmlu") == {"score": 40.0, "stderr": 3.0, "metric": "acc"}


def test_several_tasks_of_other_names_are_scored_by_their_mean() -> None:
    table = {"scores": tasks(law=0.4, medicine=0.6, essay=None)}
    assert evaluating._of_tasks(table, "tuned", "mmlu") == {"score": 50.0, "stderr": 2.12, "metric": "acc"}


def test_a_number_that_is_none_is_left_out() -> None:
    broken = {"metric": "acc", "tuned": {"value": None, "stderr": None}}
    assert evaluating._of_tasks({"scores": tasks(law=0.4) | {"x": broken}}, "tuned", "mmlu")["score"] == 40.0


def test_tasks_without_a_share_of_right_answers_have_no_score() -> None:
    assert evaluating._of_tasks({"scores": tasks(essay=None)}, "tuned", "essay")["score"] is None
