"""lm-eval's task files, each a YAML file with its JSONL beside it: read as data, and nothing else.

lm-eval itself runs Python that a task file names, and a job runs nothing that a user supplied. What is allowed here is
what cannot lead to code; the guide to all of it:
https://github.com/EleutherAI/lm-evaluation-harness/blob/main/docs/new_task_guide.md
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainer.failures import Failure

REQUIRED = ("task", "dataset_path", "dataset_kwargs", "output_type")
ALLOWED = (
    *REQUIRED,
    *("training_split", "validation_split", "test_split", "fewshot_split", "num_fewshot", "fewshot_delimiter"),
    *("doc_to_text", "doc_to_target", "doc_to_choice", "description", "target_delimiter", "gen_prefix"),
    *("metric_list", "filter_list", "generation_kwargs", "repeats", "tag", "metadata"),
)
# transformers' generate takes others that name code. All answers are greedy, so that numbers repeat.
GENERATION = ("until", "max_gen_toks", "do_sample", "temperature")


def read_tasks(folder: Path) -> dict[str, dict[str, Any]]:
    """The tasks below `folder` by name, as lm-eval's config with absolute paths.

    Raises Failure(bad_tasks) for a wrong file and where lm-eval is not installed.
    """
    if importlib.util.find_spec("lm_eval") is None:
        raise Failure("bad_tasks", "lm-eval, which runs evaluation.tasks, is not installed.")
    tasks: dict[str, dict[str, Any]] = {}
    for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.yml")]):
        task = _read(path)
        if task["task"] in tasks:
            raise _wrong(path, f"task: the name {task['task']!r} is taken by another file")
        tasks[task["task"]] = task
    return tasks


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        task = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        # Also where a tag such as !function names code.
        raise _wrong(path, f"it is not plain YAML: {' '.join(str(error).split())}") from None
    if not isinstance(task, dict):
        raise _wrong(path, "it is not a mapping")
    for problem in _problems(path, task):
        raise _wrong(path, problem)
    files = {split: _paths(path, found) for split, found in _splits(task).items()}
    return {"num_fewshot": 0, **task, "dataset_kwargs": {"data_files": files}}


def _problems(path: Path, task: dict[str, Any]) -> Iterator[str]:
    """What is wrong, in an order in which the later checks can rely on the earlier ones."""
    yield from (f"{name} is missing" for name in REQUIRED if not task.get(name))
    yield from (f"{name} is not allowed; allowed are {', '.join(ALLOWED)}" for name in task if name not in ALLOWED)
    if not isinstance(task["task"], str):
        yield "task is not a text"
    if task["dataset_path"] != "json":
        yield f"dataset_path is {task['dataset_path']!r}, but only 'json' can be read without a network"
    yield from _data_problems(path, task)
    yield from _metric_problems(task.get("metric_list") or [])
    settings = task.get("generation_kwargs") or {}
    if not isinstance(settings, dict):
        yield "generation_kwargs is not a mapping"
    yield from (f"generation_kwargs: {name} is not allowed" for name in settings if name not in GENERATION)
    if settings.get("do_sample"):
        yield "generation_kwargs: do_sample has to be false, since sampled answers give other numbers every time"


def _data_problems(path: Path, task: dict[str, Any]) -> Iterator[str]:
    if not isinstance(task["dataset_kwargs"], dict) or set(task["dataset_kwargs"]) != {"data_files"}:
        yield "dataset_kwargs has to be a mapping with data_files and nothing else"
    for found in _paths(path, [name for names in _splits(task).values() for name in _listed(names)]):
        if not Path(found).is_relative_to(path.parent.resolve()):
            yield f"data_files: {found} lies outside the task's folder"
        if not Path(found).is_file():
            yield f"data_files: there is no file {found}"


def _metric_problems(metrics: Any) -> Iterator[str]:
    import lm_eval.api.metrics  # noqa: F401  # fills the registry
    from lm_eval.api.registry import metric_registry

    for entry in metrics if isinstance(metrics, list) else [metrics]:
        name = entry.get("metric") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in metric_registry or entry.get("hf_evaluate"):
            yield f"metric_list: {name!r} is not one of {', '.join(sorted(metric_registry.keys()))}"


def _splits(task: dict[str, Any]) -> dict[str, Any]:
    files = task["dataset_kwargs"]["data_files"]
    return files if isinstance(files, dict) else {"train": files}


def _listed(names: Any) -> list[str]:
    return [str(name) for name in (names if isinstance(names, list) else [names])]


def _paths(path: Path, names: Any) -> list[str]:
    return [str((path.parent / name).resolve()) for name in _listed(names)]


def _wrong(path: Path, problem: str) -> Failure:
    return Failure("bad_tasks", f"The task file {path.name} is wrong: {problem}.")
