"""What was measured of base and tuned, as a table for the model card and as a sentence for the log."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trainer import files
from trainer.evaluation import text_metrics

DIGITS = 6
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
    out because they occur in train; `complete` is false when time ran out before all were judged.
    """
    scored, answered = likelihood or {}, generation or {}
    parts = [part for part in (likelihood, generation, tasks) if part]
    versions: dict[str, Any] = {}
    for name in ("base", "tuned"):
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
        "difference": _difference(versions["base"], versions["tuned"]),
        "bleu_signature": text_metrics.bleu_signature() if "bleu" in versions["tuned"] else None,
    }
    return {name: _plain(value) for name, value in told.items() if value is not None}


def sentence(table: dict[str, Any]) -> str:
    """`exact match 2 % → 90 % on 20 held-out examples`."""
    base, tuned = table["base"], table["tuned"]
    for metric, name, factor, digits, unit in _TOLD:
        # A text of some length is hardly ever matched to the letter; then F1 tells more.
        if tuned.get(metric) is None or base.get(metric) is None or not base[metric] + tuned[metric]:
            continue
        before, after = (f"{factor * version[metric]:.{digits}f}{unit}" for version in (base, tuned))
        count = table["answered" if metric in ("exact_match", "f1") else "examples"]
        ending = "" if table["complete"] else ", all that time allowed"
        return f"{name} {before} → {after} on {count} held-out example{'' if count == 1 else 's'}{ending}"
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
