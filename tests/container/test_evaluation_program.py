import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.container.conftest import TICKETS
from tests.container.programs import Program, run, start
from tests.container.test_evaluation_tasks import CHOOSING, write
from trainer.evaluation import report


@pytest.fixture
def job(tmp_path: Path, tiny: Path, tuned: Path) -> Path:
    """A root folder as SageMaker lays it out for an evaluation."""
    inputs = tmp_path / "root" / "input" / "data"
    (inputs / "validation").mkdir(parents=True)
    (inputs / "model").symlink_to(tuned / "model")
    (inputs / "base").symlink_to(tiny)
    shutil.copy(TICKETS / "heldout.jsonl", inputs / "validation")
    return tmp_path / "root"


def table(root: Path) -> dict[str, Any]:
    return json.loads((root / "model" / "evaluation.json").read_text())


def quick(root: Path, *arguments: object) -> Program:
    return run("trainer.evaluate", "--root", root, "--max-examples", 4, "--max-new-tokens", 8, *arguments)


def test_a_job_leaves_the_table_and_the_answers(job: Path, tuned: Path) -> None:
    write(job / "input" / "data" / "tasks", CHOOSING)
    program = quick(job)
    assert program.exit_code == 0
    found = table(job)
    assert (found["examples"], found["answered"], found["leaked"], found["complete"]) == (20, 4, 0, True)
    assert found["tuned"]["loss"] < found["base"]["loss"]
    assert found["difference"]["tasks"] == {"likelier": {"acc": 1.0}}
    card = json.loads((tuned / "model" / "model_card.json").read_text())
    assert found["tuned"]["loss"] == pytest.approx(card["metrics"]["validation_loss"], rel=1e-3)
    records = (job / "model" / "evaluation.jsonl").read_text().splitlines()
    fields = {"row", "prompt", "reference", "base", "tuned", "scores"}
    assert [set(json.loads(record)) for record in records] == [fields] * 4
    assert program.lines[-1]["evaluation"] == found
    assert "held-out examples" in program.lines[-1]["message"]


def test_rows_of_the_training_do_not_count(job: Path) -> None:
    train = job / "input" / "data" / "train"
    train.mkdir()
    lines = (TICKETS / "heldout.jsonl").read_text().splitlines()[4:7]
    # Spaced differently, yet the same rows.
    (train / "train.jsonl").write_text("\n".join(json.dumps(json.loads(line), indent=None) for line in lines))
    assert quick(job).exit_code == 0
    assert (table(job)["examples"], table(job)["leaked"]) == (17, 3)


def test_preferences_are_judged_by_which_answer_is_likelier(job: Path, tmp_path: Path, tiny: Path, tuned: Path) -> None:
    rows = [
        {"prompt": f"Ticket {number}", "chosen": '{"intent": "bug", "urgency": "normal"}', "rejected": "Hm"}
        for number in range(5)
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    places = {"--model": tuned / "model", "--base": tiny, "--data": tmp_path / "pairs.jsonl"}
    arguments = [part for pair in places.items() for part in pair]
    program = run("trainer.evaluate", *arguments, "--output", tmp_path / "out.json", "--max-examples", 0)
    assert program.exit_code == 0
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["base"]["preference_accuracy"] < found["tuned"]["preference_accuracy"]
    assert program.lines[-1]["message"].startswith("preference accuracy ")


def test_time_that_is_up_ends_the_job_with_what_was_judged(job: Path) -> None:
    assert quick(job, "--max-seconds", 0).exit_code == 0
    assert (table(job)["complete"], table(job)["answered"]) == (False, 0)


def failure(root: Path) -> dict[str, Any]:
    return json.loads((root / "output" / "failure").read_text())


def test_wrong_rows_are_named_by_line(job: Path) -> None:
    rows = '{"prompt": "a", "completion": "b"}\n{"x": 1}\n'
    (job / "input" / "data" / "validation" / "heldout.jsonl").write_text(rows)
    assert quick(job).exit_code == 1
    assert failure(job)["code"] == "bad_dataset"
    assert "heldout.jsonl line 2" in failure(job)["message"]


@pytest.mark.parametrize("channel", ["model", "base"])
def test_a_folder_without_a_model_is_named(job: Path, channel: str) -> None:
    (job / "input" / "data" / channel).unlink()
    (job / "input" / "data" / channel).mkdir()
    assert quick(job).exit_code == 1
    assert failure(job)["code"] == "bad_config"
    assert f"input/data/{channel}" in failure(job)["message"]


def test_a_task_that_is_not_there_is_named(job: Path) -> None:
    write(job / "input" / "data" / "tasks", CHOOSING)
    assert quick(job, "--task", "mmlu").exit_code == 1
    assert failure(job)["message"] == "evaluation.tasks: no task file has mmlu; there are: likelier."


def test_without_folders_it_says_which_are_missing(tmp_path: Path) -> None:
    program = run("trainer.evaluate", "--model", tmp_path, "--task", "mmlu")
    assert program.exit_code == 1
    assert program.lines[-1]["message"] == "--base, --output, --tasks or --root is missing."
    program = run("trainer.evaluate", "--base", tmp_path, "--output", tmp_path / "out.json")
    assert program.exit_code == 1
    assert program.lines[-1]["message"] == "--data, --tasks or --root is missing."


def test_tasks_alone_are_judged_without_rows(job: Path) -> None:
    write(job / "input" / "data" / "tasks", CHOOSING)
    shutil.rmtree(job / "input" / "data" / "validation")
    program = quick(job, "--task", "likelier")
    assert program.exit_code == 0
    assert table(job) == {
        "examples": 0,
        "leaked": 0,
        "complete": True,
        "base": {"tasks": {"likelier": {"acc": 0.0}}},
        "tuned": {"tasks": {"likelier": {"acc": 1.0}}},
        "difference": {"tasks": {"likelier": {"acc": 1.0}}},
        "scores": {
            "likelier": {
                "metric": "acc",
                "samples": 9,
                "base": {"value": 0.0, "stderr": 0.0},
                "tuned": {"value": 1.0, "stderr": 0.0},
            }
        },
    }
    assert program.lines[-1]["message"] == "acc 0 % → 100 % on 9 documents of likelier"


def test_the_base_is_judged_alone_where_there_is_no_model(job: Path, tuned: Path) -> None:
    (job / "input" / "data" / "model").unlink()
    write(job / "input" / "data" / "tasks", CHOOSING)
    program = quick(job)
    assert program.exit_code == 0
    found = table(job)
    assert {"tuned", "difference"} & found.keys() == set()
    beside = json.loads((tuned / "model" / "model_card.json").read_text())["evaluation"]["base"]
    assert found["base"]["loss"] == pytest.approx(beside["loss"], rel=1e-4)
    assert found["scores"]["likelier"]["base"] == {"value": 0.0, "stderr": 0.0}
    assert {"perplexity", "token_accuracy", "exact_match", "f1", "bleu"} <= found["base"].keys()
    records = [json.loads(line) for line in (job / "model" / "evaluation.jsonl").read_text().splitlines()]
    assert [set(record["scores"]) for record in records] == [{"base"}] * 4
    assert program.lines[-1]["message"].endswith("held-out examples")


def test_nothing_to_judge_by_is_said(job: Path) -> None:
    shutil.rmtree(job / "input" / "data" / "validation")
    assert quick(job).exit_code == 1
    assert failure(job)["code"] == "bad_config"
    assert failure(job)["message"] == "--data, --tasks or --root is missing."


def test_a_score_has_lm_evals_own_standard_error() -> None:
    from lm_eval.api.metrics import mean_stderr

    judged = [1.0] * 13 + [0.0] * 7
    told = {"acc": 0.65, "acc_norm": 0.65}
    found = report.table(tasks={"tuned": {"quiz": told}, "samples": {"quiz": 20}, "complete": True})
    assert found["scores"]["quiz"]["metric"] == "acc_norm"
    assert found["scores"]["quiz"]["tuned"]["stderr"] == pytest.approx(mean_stderr(judged), abs=1e-6)


def test_a_task_without_right_answers_to_count_has_no_score() -> None:
    told = {"base": {"prose": {"perplexity": 9.0}}, "samples": {"prose": 4}, "complete": True}
    assert report.table(tasks=told)["scores"] == {"prose": {"metric": None, "samples": 4}}


@pytest.mark.parametrize(
    ("option", "value"),
    [("--max-examples", -5), ("--max-examples", 10**6), ("--max-new-tokens", 0), ("--max-seconds", "nan")],
)
def test_a_number_out_of_its_range_is_named(job: Path, option: str, value: object) -> None:
    assert quick(job, f"{option}={value}").exit_code == 1
    assert failure(job)["code"] == "bad_config"
    assert failure(job)["message"].startswith(f"{option} is {value}; it must lie from ")


def test_sigterm_ends_it_resumable(job: Path) -> None:
    program = start("trainer.evaluate", "--root", job)
    program.wait_for(lambda: program.lines)
    program.terminate()
    assert program.exit_code == 3
    assert failure(job)["code"] == "interrupted"
