"""Base and tuned compared by everything there is data for: at the end of a run, or later."""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from luthier.datasets.rows import Row
from trainer import data, log
from trainer.evaluation import leakage, report, tasks, versions
from trainer.evaluation.generation import evaluate_generation
from trainer.evaluation.likelihood import evaluate_likelihood
from trainer.evaluation.versions import Deadline, Versions
from trainer.failures import classify
from trainer.sources import Source

RECORDS = "evaluation.jsonl"
# Answering may take this part of the time that the run took, or a minute if that is more: it is paid like training.
ANSWERING_SHARE, ANSWERING_SECONDS = 0.1, 60


def of_run(job: Any, parts: Any, trainer: Any) -> dict[str, Any]:
    """The table of the model that `trainer` holds, for its card; the answers go to checkpoints/evaluation.jsonl.

    A failure here costs the numbers, not the model: the table then says {"failed": code, "message": …}.
    """
    try:
        table, records = _of_run(job, parts, trainer.accelerator.unwrap_model(trainer.model))
        report.write_records(job.folders.checkpoints / RECORDS, records)
    except Exception as error:
        failure = classify(error)
        log.error(f"the evaluation failed: {failure.message}", code=failure.code)
        return {"failed": failure.code, "message": failure.message}
    log.info(report.sentence(table), evaluation=table)
    return table


def _of_run(job: Any, parts: Any, model: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    asked = job.config.evaluation
    overlaps = bool(parts.validation.overlap)
    # The model is still to be written.
    saving = parts.endings.saving_seconds
    answered_by = job.budget.seconds + max(ANSWERING_SHARE * job.budget.seconds, ANSWERING_SECONDS)
    return evaluate(
        versions.of_adapter(model)
        if hasattr(model, "peft_config")
        else versions.of_weights(model, job.folders.base_model),
        parts.tokenizer,
        dataset=parts.validation.dataset,
        rows=data.held_out(job.folders, job.config) if asked.generate else (),
        max_examples=asked.max_examples if asked.generate else 0,
        max_new_tokens=asked.max_new_tokens,
        lm_eval_tasks=tasks.find(asked.tasks, job.folders.tasks),
        leaked=_in_train(job) if overlaps else _nowhere,
        leaked_examples=leakage.examples_in_train(parts.train.dataset, parts.validation.dataset) if overlaps else (),
        deadline=lambda reserve: job.interruption.requested or job.budget.exhausted(reserve + saving),
        answered_by=lambda reserve: job.budget.seconds + reserve > answered_by,
    )


def _in_train(job: Any) -> Callable[[Row], bool]:
    rows = (place.row for place in Source(job.folders, job.config).places() if place.part == "train")
    return leakage.in_train(rows, data.held_out(job.folders, job.config))


def _either(one: Deadline | None, other: Deadline | None) -> Deadline:
    return lambda reserve: any(deadline(reserve) for deadline in (one, other) if deadline)


def _nowhere(row: Row) -> bool:
    return False


def evaluate(
    models: Versions,
    tokenizer: Any,
    *,
    dataset: Any = None,
    rows: Iterable[Row] = (),
    max_examples: int = 0,
    max_new_tokens: int = 256,
    lm_eval_tasks: Sequence[dict[str, Any]] = (),
    leaked: Callable[[Row], bool] = _nowhere,
    leaked_examples: Collection[int] = (),
    deadline: Deadline | None = None,
    answered_by: Deadline | None = None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Measure what there is data for; the table and, for its answers, the records.

    `dataset` is the held-out part tokenized, `rows` the same as it was uploaded; `leaked_examples` and `leaked` say
    what of either occurs in train. No answers are generated where `max_examples` is 0, and none beyond `answered_by`.
    `tasks.find` gives the tasks.
    """
    likelihood = generation = results = None
    if dataset is not None:
        likelihood = evaluate_likelihood(models, dataset, left_out=leaked_examples, deadline=deadline)
    if max_examples:
        generation = evaluate_generation(
            models,
            tokenizer,
            rows,
            max_examples=max_examples,
            max_new_tokens=max_new_tokens,
            leaked=leaked,
            deadline=_either(deadline, answered_by),
        )
    if lm_eval_tasks:
        results = tasks.evaluate_tasks(models, tokenizer, lm_eval_tasks, deadline=deadline)
    return report.table(likelihood, generation, results), generation["records"] if generation else []
