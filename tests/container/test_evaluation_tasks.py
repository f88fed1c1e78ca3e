import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.container.conftest import TICKETS
from trainer.evaluation import versions
from trainer.evaluation.task_files import read_tasks
from trainer.evaluation.tasks import evaluate_tasks, find
from trainer.failures import Failure

GENERATING: dict[str, Any] = {
    "task": "tickets",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "tickets.jsonl"}},
    "test_split": "test",
    "output_type": "generate_until",
    "description": "Sort the support ticket. Answer in JSON.",
    "doc_to_text": "{{question}}",
    # The tiny model learns the form of the answer, so that is what is asked for.
    "doc_to_target": "urgency",
    "filter_list": [
        {"name": "form", "filter": [{"function": "regex", "regex_pattern": "(urgency)"}, {"function": "take_first"}]}
    ],
    "generation_kwargs": {"until": ["<|im_end|>"], "max_gen_toks": 24, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
CHOOSING: dict[str, Any] = {
    **{name: value for name, value in GENERATING.items() if name not in ("generation_kwargs", "filter_list")},
    "task": "likelier",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_target": 0,
    "doc_to_choice": ['{"intent": "bug", "urgency": "normal"}', "Hm"],
    "target_delimiter": "",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}


@pytest.fixture(scope="module")
def both(tiny: Path, tuned: Path) -> versions.Versions:
    return versions.of_folders(tuned / "model", tiny)


def write(folder: Path, task: dict[str, Any], name: str = "task.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(yaml.safe_dump(task))
    rows = [json.loads(line)["messages"] for line in (TICKETS / "heldout.jsonl").read_text().splitlines()[:9]]
    questions = [{"question": row[-2]["content"]} for row in rows]
    (folder / "tickets.jsonl").write_text("\n".join(map(json.dumps, questions)))
    return folder


def test_a_task_is_run_on_base_and_tuned(both: versions.Versions, tokenizer: Any, tmp_path: Path) -> None:
    found = evaluate_tasks(both, tokenizer, find(["tickets"], write(tmp_path, GENERATING)))
    assert found == {
        "base": {"tickets": {"exact_match,form": 0.0}},
        "tuned": {"tickets": {"exact_match,form": 1.0}},
        "samples": {"tickets": 9},
        "complete": True,
    }


def test_choices_are_judged_by_likelihood(both: versions.Versions, tokenizer: Any, tmp_path: Path) -> None:
    found = evaluate_tasks(both, tokenizer, find(["likelier"], write(tmp_path, CHOOSING)))
    assert (found["base"], found["tuned"]) == ({"likelier": {"acc": 0.0}}, {"likelier": {"acc": 1.0}})


def test_a_task_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(Failure) as failed:
        find(["hellaswag"], write(tmp_path, GENERATING))
    assert failed.value.code == "bad_tasks"
    assert failed.value.message == "evaluation.tasks: no task file has hellaswag; there are: tickets."


def test_no_task_is_begun_that_would_not_end_in_time(both: versions.Versions, tokenizer: Any, tmp_path: Path) -> None:
    folder = write(tmp_path, GENERATING)
    found = evaluate_tasks(both, tokenizer, find(["tickets"], folder), deadline=lambda reserve: True)
    assert found == {"base": {}, "tuned": {}, "samples": {}, "complete": False}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"task": None}, "task is missing"),
        ({"task": ["a"]}, "task is not a text"),
        ({"dataset_path": "squad"}, "dataset_path is 'squad', but only 'json' can be read"),
        ({"dataset_kwargs": {"data_files": {"test": "absent.jsonl"}}}, "there is no file"),
        ({"dataset_kwargs": {"data_files": "../secret.jsonl"}}, "lies outside the task's folder"),
        ({"dataset_kwargs": {"data_files": "tickets.jsonl", "trust_remote_code": True}}, "data_files and nothing else"),
        ({"dataset_kwargs": "tickets.jsonl"}, "data_files and nothing else"),
        ({"class": "Task"}, "class is not allowed"),
        ({"include": "/etc/passwd"}, "include is not allowed"),
        ({"generation_kwargs": {"custom_generate": "."}}, "custom_generate is not allowed"),
        ({"generation_kwargs": {"do_sample": True}}, "do_sample has to be false"),
        ({"generation_kwargs": "greedy"}, "generation_kwargs is not a mapping"),
        ({"metric_list": [{"metric": "./metric.py"}]}, "'./metric.py' is not one of acc,"),
        ({"metric_list": [{"metric": ["acc"]}]}, "is not one of acc,"),
        ({"metric_list": [{"metric": "acc", "hf_evaluate": True}]}, "'acc' is not one of"),
    ],
)
def test_a_wrong_task_file_is_refused_with_what_is_wrong(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    folder = write(tmp_path / "tasks", GENERATING | change)
    with pytest.raises(Failure) as failed:
        read_tasks(folder)
    assert failed.value.code == "bad_tasks"
    assert failed.value.message.startswith("The task file task.yaml is wrong: ")
    assert problem in failed.value.message


@pytest.mark.parametrize("content", ["task: !function code.run\n", "- a list\n", "a: [\n", "\xff", ""])
def test_what_is_not_plain_yaml_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "code.py").write_text("raise SystemExit('the task file ran code')")
    (tmp_path / "task.yaml").write_text(content, encoding="latin-1")
    with pytest.raises(Failure, match=r"The task file task.yaml is wrong: it is not"):
        read_tasks(tmp_path)


def test_two_files_cannot_hold_the_same_task(tmp_path: Path) -> None:
    write(write(tmp_path, GENERATING), GENERATING, "other.yml")
    with pytest.raises(Failure, match="the name 'tickets' is taken by another file"):
        read_tasks(tmp_path)


@pytest.mark.parametrize(
    "template", ["{{ question.__class__.__mro__ }}", "{{ cycler.__init__.__globals__.os.getcwd() }}", "{{ absent }}"]
)
def test_a_template_that_reaches_for_python_ends_the_task(
    both: versions.Versions, tokenizer: Any, tmp_path: Path, template: str
) -> None:
    folder = write(tmp_path, {**GENERATING, "doc_to_text": template})
    with pytest.raises(Failure, match=r"lm-eval cannot run the task tickets: (Security|Undefined)Error") as failed:
        evaluate_tasks(both, tokenizer, find(["tickets"], folder))
    assert failed.value.code == "bad_tasks"


def test_a_data_file_that_is_not_json_ends_the_task(both: versions.Versions, tokenizer: Any, tmp_path: Path) -> None:
    folder = write(tmp_path, GENERATING)
    (folder / "tickets.jsonl").write_text("question,answer\n")
    with pytest.raises(Failure, match="lm-eval cannot run the task tickets"):
        evaluate_tasks(both, tokenizer, find(["tickets"], folder))
