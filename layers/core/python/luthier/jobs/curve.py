"""The loss curve of a job, from the lines of the trainer's metrics.jsonl. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Curve:
    """The trainer's metrics lines as a curve. Losses are means over the trained tokens of a step."""

    steps: list[dict[str, Any]]
    latest: dict[str, Any]
    trained_tokens: int | None
    total_epochs: float | None
    progress: dict[str, Any]

    @classmethod
    def of(cls, lines: list[dict[str, Any]]) -> "Curve | None":
        """After a resume steps repeat: the last line of a step wins, and a later None never hides a value.

        Lines without a step tell of a phase only; None where there are no others.
        """
        lines = [line for line in lines if isinstance(line.get("step"), int)]
        if not lines:
            return None
        merged: dict[int, dict[str, Any]] = {}
        for line in lines:
            known = {name: value for name, value in line.items() if value is not None}
            merged[line["step"]] = merged.get(line["step"], {}) | known
        steps = [merged[step] for step in sorted(merged)]
        last = lines[-1]
        total = last.get("total_steps") or 0
        return cls(
            steps=[_point(step) for step in steps],
            latest={
                "training_loss": _last(steps, "training_loss"),
                "validation_loss": _last(steps, "validation_loss"),
                "epoch": _last(steps, "epoch"),
            },
            trained_tokens=_last(steps, "trained_tokens"),
            total_epochs=last.get("total_epochs"),
            progress={
                "percent": round(100 * last["step"] / total, 1) if total else 0.0,
                "step": last["step"],
                "total_steps": total,
                "seconds_remaining": last.get("seconds_remaining"),
            },
        )


def _point(step: dict[str, Any]) -> dict[str, Any]:
    return {name: step.get(name) for name in ("step", "training_loss", "validation_loss", "learning_rate")}


def _last(steps: list[dict[str, Any]], name: str) -> Any:
    values: Iterator[Any] = (step[name] for step in reversed(steps) if name in step)
    return next(values, None)
