"""The numbers by which models are compared: what they are called, where they stand, and which way is better. Pure."""

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.errors import InvalidRequest

# Two numbers this many standard errors apart differ by chance in one of twenty cases.
_CERTAIN = 1.96


@dataclass(frozen=True)
class Metric:
    """One metric of the trainer's base-versus-tuned table.

    keys: its names there, the first that is there counts; scale: what that is multiplied with; counted: the count of
    the table that a share is of; card: its name in a card's metrics, for a run without such a table; of_held_out:
    whether the card has it of held-out rows only where there was a validation loss; family: metrics that say the same,
    of which one counts overall, "" for one that does not count.
    """

    name: str
    keys: tuple[str, ...] = ()
    lower: bool = False
    scale: float = 1.0
    counted: str | None = None
    card: str | None = None
    family: str = "own"


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", ("exact_match", "preference_accuracy"), counted="answered", family="match"),
        Metric("f1_score", ("f1",)),
        Metric("perplexity", ("perplexity",), lower=True, card="perplexity", family="likelihood"),
        Metric("bleu_score", ("bleu",), scale=0.01),
        Metric("loss", ("loss",), lower=True, card="validation_loss", family="likelihood"),
        Metric("exact_match", ("exact_match",), counted="answered", family="match"),
        Metric("token_accuracy", ("token_accuracy",), counted="tokens", card="token_accuracy"),
        Metric("preference_accuracy", ("preference_accuracy",), counted="examples", family="match"),
        Metric("valid_json", ("valid_json",)),
        Metric("training_loss", lower=True, card="training_loss", family=""),
    )
}


@dataclass(frozen=True)
class Value:
    """A number and its standard error, where it has one."""

    number: float
    stderr: float | None = None


@dataclass(frozen=True)
class Measured:
    """What was measured of one version on held-out rows: its part of the table, the counts, the card's metrics.

    held_out: what those rows are known by; equal ones are the same rows.
    """

    numbers: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    held_out: str | None = None

    def value(self, metric: Metric) -> Value | None:
        key = next((key for key in metric.keys if self.numbers.get(key) is not None), None)
        if key is None:
            number = self._of_card(metric)
            return None if number is None else Value(number)
        share = self.numbers[key]
        # A pair is judged without an answer in words.
        count = self.counts.get("examples" if key == "preference_accuracy" else metric.counted or "")
        stderr = math.sqrt(share * (1 - share) / count) if metric.counted and count else None
        return Value(round(share * metric.scale, 6), stderr)

    def _of_card(self, metric: Metric) -> float | None:
        # Without held-out rows the card's perplexity is that of the training.
        of_training = self.card.get("validation_loss") is None and metric.card != "training_loss"
        return self.card.get(metric.card) if metric.card and not of_training else None


def named(names: Sequence[str]) -> list[Metric]:
    """The metrics of these names, each once. Raises InvalidRequest, naming the place in the list."""
    for number, name in enumerate(names):
        if name not in METRICS:
            close = difflib.get_close_matches(name, METRICS, n=1)
            raise InvalidRequest(
                f"metrics[{number}]: the metric {name[:80]!r} is not known.",
                code="unknown_metric",
                param=f"metrics[{number}]",
                details={"available": list(METRICS)},
                remedy=f"Did you mean {close[0]}?" if close else f"Choose of {', '.join(METRICS)}.",
            )
    return [METRICS[name] for name in dict.fromkeys(names)]


def within_noise(one: Value, other: Value) -> bool:
    """Whether two shares may differ by chance; False where their standard errors are not known."""
    if one.stderr is None or other.stderr is None:
        return False
    return abs(one.number - other.number) < _CERTAIN * math.hypot(one.stderr, other.stderr)
