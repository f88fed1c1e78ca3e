"""What was measured of base and tuned, as a table for the model card and as a sentence for the log."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainer import files
from trainer.evaluation import text_metrics

DIGITS = 6
# What lm-eval's metrics call a share of right answers, in the order in which one of them is a task's score.
_SCORES = ("acc_norm", "acc", "exact_match")
# In order of what says most: metric, its name in a sentence, what to multiply it with, digits, unit.
_TOLD = (
    ("exact_match", "exact match", 100, 0, " %"),
    ("f1", "F1", 100, 0, " %"),
    ("preference_accuracy", "preference accuracy", 100, 0, " %"),
    ("loss", "loss", 1, 2, ""),
    ("desirable_loss", "loss of desirable answers", 1, 2, ""),
)


def table(
    likelihood: dict[str, Any] | None = None,
    generation: dict[str, Any] | None = None,
    tasks: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """{"examples": number, …, "base": {metric: value}, "tuned": …, "difference": …}, ready for JSON.

    The difference is tuned minus base. `examples` were scored, `answered` of them answered in words; `leaked` were left
    out because they occur in train; `complete` is false when time ran out before all were judged. `scores` has of each
    task the share of right answers (see `_score`). A version that was not judged is not there, nor is a difference.
    """
    scored, answered = likelihood or {}, generation or {}
    parts = [part for part in (likelihood, generation, tasks) if part]
    versions: dict[str, Any] = {}
    for name in (name for name in ("base", "tuned") if any(name in part for part in parts)):
        versions[name] = {**scored.get(name, {}), **answered.get(name, {})}
        if tasks:
            versions[name]["tasks"] = tasks[name]
    told = {
        "examples": scored.get("examples", answered.get("answered", 0)),
        "tokens": scored.get("tokens"),
        "answered": answered.get("answered"),
        "too_long": answered.get("too_long"),
        "leaked": max(scored.get("leaked", 0), answered.get("leaked", 0)),
        "complete": all(part["complete"] for part in parts),
        **versions,
        "difference": _difference(versions["base"], versions["tuned"]) if len(versions) > 1 else None,
        "scores": {task: _score(task, tasks) for task in tasks["samples"]} if tasks else None,
        "bleu_signature": text_metrics.bleu_signature() if "bleu" in next(iter(versions.values()), {}) else None,
    }
    return {name: _plain(value) for name, value in told.items() if value is not None}


def _score(task: str, tasks: dict[str, Any]) -> dict[str, Any]:
    """{"metric": name, "samples": documents, "base": {"value": 0 to 1, "stderr": …}, "tuned": …} of a task.

    The standard error is that of a share of so many right and wrong answers, as lm-eval itself has it. A task without
    such a metric has the metric None and no values.
    """
    samples = tasks["samples"][task]
    found = {name: tasks[name][task] for name in ("base", "tuned") if name in tasks}
    names = list(next(iter(found.values())))
    # A metric behind a filter is called `metric,filter`.
    ranked = [name for score in _SCORES for name in names if name.partition(",")[0] == score]
    if not ranked:
        return {"metric": None, "samples": samples}
    values = {name: metrics[ranked[0]] for name, metrics in found.items()}
    errors = {name: math.sqrt(value * (1 - value) / max(1, samples - 1)) for name, value in values.items()}
    return {
        "metric": ranked[0],
        "samples": samples,
        **{name: {"value": value, "stderr": errors[name]} for name, value in values.items()},
    }


def sentence(table: dict[str, Any]) -> str:
    """`exact match 2 % → 90 % on 20 held-out examples`; of a base that was judged alone, its number."""
    judged = [table[name] for name in ("base", "tuned") if name in table]
    ending = "" if table["complete"] else ", all that time allowed"
    for metric, name, factor, digits, unit in _TOLD:
        values = [version[metric] for version in judged if version.get(metric) is not None]
        # A text of some length is hardly ever matched to the letter; then F1 tells more.
        if len(values) < len(judged) or not sum(values):
            continue
        told = " → ".join(f"{factor * value:.{digits}f}{unit}" for value in values)
        count = table["answered" if metric in ("exact_match", "f1") else "examples"]
        return f"{name} {told} on {count} held-out example{'' if count == 1 else 's'}{ending}"
    scores = {task: score for task, score in table.get("scores", {}).items() if score.get("metric")}
    for task, score in scores.items():
        told = " → ".join(f"{100 * score[name]['value']:.0f} %" for name in ("base", "tuned") if name in score)
        return f"{score['metric']} {told} on {score['samples']} documents of {task}{ending}"
    return "base and tuned could not be compared: no held-out example was judged"


def write_records(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """One record per line. Raises OSError."""
    files.write_text(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


def _difference(base: dict[str, Any], tuned: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _difference(base[name], value) if isinstance(value, dict) else value - base[name]
        for name, value in tuned.items()
        if name in base
    }


def _plain(value: Any) -> Any:
    """Rounded; what is not a number in JSON becomes null, as a broken model's loss may be."""
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    return value
