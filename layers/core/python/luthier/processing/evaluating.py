"""Evaluating a model, or a base model, on one benchmark: `trainer.evaluate`.

spec: `{content, max_examples}`, so that the same content is judged once, whatever it is called. context: `{benchmark,
channel, uri}`: what it was called, and where it lies.
"""

import json
import math
from statistics import fmean
from typing import Any

from luthier.catalog import service as catalog
from luthier.errors import NotFound
from luthier.processing.entity import Processing
from luthier.processing.plan import Plan, Workshop, cheapest_machine

# The channels of the trainer's evaluator: rows of an organization, or an operator's lm-eval task files.
ROWS, TASKS = "validation", "tasks"
_MAX_SECONDS = 4 * 3600
# What the evaluator leaves of its time for loading, writing and uploading.
_SPARE_SECONDS = 600
_ROOM_GB = 30
# Which number is the score of an eval set: the first that its rows allow.
_SCORES = ("exact_match", "f1", "token_accuracy", "preference_accuracy")
# Shares of right answers among the examples that were judged, which have a standard error.
_SHARES = {"exact_match": "answered", "preference_accuracy": "examples"}


def plan(processing: Processing, workshop: Workshop, base_uri: str) -> Plan:
    base = catalog.find_base_model(processing.base_model)
    channels, size = {"base": base_uri}, 2 * base.parameters
    if not is_base(processing):
        model = workshop.model_store.get(processing.organization_id, processing.subject)
        if model is None:
            raise NotFound(f"Model {processing.subject} was removed.", code="model_not_found")
        channels["model"], size = f"{model.artifact_uri.rstrip('/')}/", size + model.bytes
    place = processing.context
    most = processing.spec["max_examples"]
    return Plan(
        module="trainer.evaluate",
        channels=channels | {place["channel"]: place["uri"]},
        hardware=cheapest_machine(base),
        volume_gb=_ROOM_GB + 2 * size // 10**9,
        arguments=(
            *("--max-seconds", str(_MAX_SECONDS - _SPARE_SECONDS)),
            *(("--max-examples", str(most)) if most is not None else ()),
        ),
        max_seconds=_MAX_SECONDS,
    )


def settle(processing: Processing, workshop: Workshop, output_uri: str) -> dict[str, Any]:
    """`{score, stderr, metric, metrics, base, examples, complete}`: score and stderr 0 to 100, metrics as measured."""
    table = _read_table(workshop.s3, output_uri)
    name = "base" if is_base(processing) else "tuned"
    if name not in table:
        raise _missing(f"numbers of the {name} model")
    by_tasks = processing.context["channel"] == TASKS
    score = _of_tasks(table, name, processing.about) if by_tasks else _of_rows(table, name)
    counts = {count: table[count] for count in ("examples", "answered", "tokens") if count in table}
    return score | {
        "metrics": table[name],
        "base": None if name == "base" else table.get("base"),
        "examples": counts,
        "complete": table["complete"],
    }


def is_base(processing: Processing) -> bool:
    """Whether it judges the base model alone."""
    return processing.subject == processing.base_model


def _of_rows(table: dict[str, Any], name: str) -> dict[str, Any]:
    metric = next((score for score in _SCORES if table[name].get(score) is not None), None)
    if metric is None:
        return {"score": None, "stderr": None, "metric": None}
    value = table[name][metric]
    count = table.get(_SHARES.get(metric, ""))
    error = math.sqrt(value * (1 - value) / count) if count else None
    return {"score": percent(value), "stderr": percent(error), "metric": metric}


def _of_tasks(table: dict[str, Any], name: str, benchmark: str | None) -> dict[str, Any]:
    """Of the task that is called as the benchmark; without one, the mean of all tasks."""
    scores = table.get("scores", {})
    asked = [scores[benchmark]] if benchmark in scores else list(scores.values())
    # A task may know no right answers, and a broken model's number is null.
    known = [score for score in asked if score.get(name, {}).get("value") is not None]
    if not known:
        return {"score": None, "stderr": None, "metric": None}
    metrics = {score["metric"] for score in known}
    return {
        "score": percent(fmean(score[name]["value"] for score in known)),
        "stderr": percent(math.hypot(*(score[name]["stderr"] for score in known)) / len(known)),
        "metric": metrics.pop() if len(metrics) == 1 else "mean",
    }


def percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _read_table(s3: Any, output_uri: str) -> dict[str, Any]:
    bucket, _, key = output_uri.removeprefix("s3://").partition("/")
    try:
        body = s3.get_object(Bucket=bucket, Key=f"{key.rstrip('/')}/evaluation.json")["Body"].read()
        table = json.loads(body)
    except s3.exceptions.NoSuchKey as error:
        raise _missing("evaluation.json") from error
    except ValueError as error:
        raise _missing("evaluation.json that can be read") from error
    return table


def _missing(what: str) -> NotFound:
    return NotFound(f"The evaluation completed but left no {what}.", code="artifact_missing", remedy="Ask again.")
