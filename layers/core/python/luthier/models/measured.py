"""What was measured of a model, by the names of its page. Pure."""

import math
from typing import Any

from luthier.models.entity import Model
from luthier.processing.measures import METRICS, Measured

Numbers = dict[str, float | None]
# DynamoDB holds numbers up to 10 to the 125th.
_HIGHEST_LOSS = 280.0


def training(model: Model) -> Numbers:
    return {
        "final_loss": model.metrics.get("training_loss"),
        "best_loss": model.training.get("best_loss"),
        "perplexity": _perplexity(model.metrics.get("training_loss")),
    }


def validation(model: Model) -> Numbers:
    """On rows that the model was not trained on; None for what was not measured."""
    names = ("loss", "accuracy", "f1_score", "bleu_score", "perplexity", "token_accuracy")
    return {name: _number(model, name) for name in names}


def custom(model: Model) -> dict[str, float]:
    """The scores of evaluation tasks, as `<task>_<metric>`, without those of a broken model that are no numbers."""
    tasks: dict[str, dict[str, Any]] = (model.evaluation or {}).get("tuned", {}).get("tasks", {})
    told = {f"{task}_{name}": score for task, scores in tasks.items() for name, score in scores.items()}
    return {name: score for name, score in told.items() if score is not None}


def brief(model: Model) -> Numbers:
    """`{final_loss, accuracy, perplexity}`: the perplexity of held-out rows where there were any."""
    held_out = _number(model, "perplexity")
    return {
        "final_loss": model.metrics.get("training_loss"),
        "accuracy": _number(model, "accuracy"),
        "perplexity": model.metrics.get("perplexity") if held_out is None else held_out,
    }


def _perplexity(loss: float | None) -> float | None:
    """Of a loss in nats per token; None for one so high that no number holds it."""
    return math.exp(loss) if loss is not None and loss < _HIGHEST_LOSS else None


def _number(model: Model, name: str) -> float | None:
    table = model.evaluation or {}
    measured = Measured(numbers=table.get("tuned", {}), counts=table, card=model.metrics)
    value = measured.value(METRICS[name])
    return value.number if value else None
