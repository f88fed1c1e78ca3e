"""Tasks of lm-eval (https://github.com/EleutherAI/lm-evaluation-harness), run on both versions from task files."""

import copy
import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer.evaluation.task_files import read_tasks
from trainer.evaluation.versions import Deadline, Versions
from trainer.failures import Failure

BATCH_SIZE = 8


def find(names: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    """The named tasks below `folder`, for `evaluate_tasks`; cheap enough to ask before a run begins.

    Raises Failure(bad_tasks) for a task that is not there, a wrong task file, and where lm-eval is not installed.
    """
    if not names:
        return []
    known = read_tasks(folder)
    if missing := sorted(set(names) - known.keys()):
        raise Failure(
            "bad_tasks",
            f"evaluation.tasks: no task file has {', '.join(missing)}; there are: {', '.join(known) or 'none'}.",
            "Name one of those, or upload its task file with its JSONL: public tasks would be fetched from a network.",
        )
    return [known[name] for name in names]


def evaluate_tasks(
    versions: Versions, tokenizer: Any, tasks: Sequence[dict[str, Any]], *, deadline: Deadline | None = None
) -> dict[str, Any]:
    """{"base": {task: {metric: value}}, "tuned": …, "samples": {task: documents judged}, "complete": whether all tasks
    came before the deadline}.

    Prompts go through the chat template, as in training. Raises Failure(bad_tasks) for what lm-eval cannot do.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in versions.names}
    samples: dict[str, int] = {}
    longest = 0.0
    for task in tasks:
        started = time.monotonic()
        if deadline and deadline(longest):
            break
        for name, results in found.items():
            with versions.open(name) as model:
                results[task["task"]], samples[task["task"]] = _evaluate(model, tokenizer, task)
        longest = max(longest, time.monotonic() - started)
    return {**found, "samples": samples, "complete": len(samples) == len(tasks)}


def _evaluate(model: Any, tokenizer: Any, task: dict[str, Any]) -> tuple[dict[str, float], int]:
    import torch

    try:
        with tempfile.TemporaryDirectory() as cache:
            return _run(model, tokenizer, task, cache)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise Failure("bad_tasks", f"lm-eval cannot run the task {task['task']}: {reason}") from error


def _run(model: Any, tokenizer: Any, task: dict[str, Any], cache: str) -> tuple[dict[str, float], int]:
    from lm_eval import evaluate, utils
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    # It warns of what is meant here, as of a model that it has not loaded itself.
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    utils.env = _sandbox(utils.env)
    # Copies, since lm-eval changes what it is given.
    config = copy.deepcopy(task)
    config["dataset_kwargs"]["cache_dir"] = cache
    lm = HFLM(pretrained=model, tokenizer=copy.deepcopy(tokenizer), batch_size=BATCH_SIZE, backend="causal")
    results = evaluate(
        lm=lm,
        task_dict=TaskManager(include_defaults=False).load([config]),
        apply_chat_template=bool(tokenizer.chat_template),
        bootstrap_iters=0,
        log_samples=False,
    )
    told = results["results"][task["task"]]
    return _metrics(told), int(told["sample_len"])


def _sandbox(environment: Any) -> Any:
    """The Jinja environment of lm-eval's prompts, in which a template cannot reach Python."""
    from jinja2 import BaseLoader
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    sandbox = ImmutableSandboxedEnvironment(
        loader=BaseLoader(),
        undefined=environment.undefined,
        keep_trailing_newline=environment.keep_trailing_newline,
    )
    sandbox.filters.update(environment.filters)
    return sandbox


def _metrics(results: dict[str, Any]) -> dict[str, float]:
    """lm-eval writes `metric,filter`; the filter that does nothing is not worth a word."""
    return {
        name.removesuffix(",none"): float(value)
        for name, value in results.items()
        if isinstance(value, int | float) and "_stderr," not in name and name not in ("sample_len",)
    }
