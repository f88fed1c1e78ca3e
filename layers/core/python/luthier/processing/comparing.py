"""Comparing models by what is known of them, and starting the evaluations that are missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from luthier.accounts.entity import Principal
from luthier.errors import InvalidRequest
from luthier.models.entity import Model
from luthier.processing import measures
from luthier.processing.entity import COMPLETED
from luthier.processing.evaluations import Evaluation, EvaluationService, Judged
from luthier.processing.measures import METRICS, Measured, Metric, Value
from luthier.processing.recommending import Column, recommend


@dataclass(frozen=True)
class Compared:
    """One model's row. measured_on: the held-out rows behind its metrics, None where nothing was held out."""

    judged: Judged
    metrics: dict[str, float | None]
    benchmarks: dict[str, float | None]
    measured_on: dict[str, Any] | None


@dataclass(frozen=True)
class Comparison:
    """`pending`: evaluations without a score; `best`: measure → model id, None where no model has the measure."""

    models: list[Compared]
    best: dict[str, str | None]
    recommendations: list[str]
    pending: list[Evaluation]


class ComparisonService:
    def __init__(self, evaluations: EvaluationService) -> None:
        self._evaluations = evaluations

    def compare(
        self, principal: Principal, names: list[str], metrics: list[str] | None, benchmarks: list[str]
    ) -> Comparison:
        """Models side by side. What was measured before answers at once; missing evaluations are started.

        names: ids, public names or base models; metrics: None for all that any of them has. Raises NotFound for a
        model, InvalidRequest for a name that is given twice, an unknown metric or an unknown benchmark, Conflict for a
        benchmark of an archived model that was not measured before.
        """
        wanted = None if metrics is None else measures.named(metrics)
        models = self._found(principal.organization_id, names)
        asked = self._evaluations.benchmarks(principal.organization_id, benchmarks)
        known = {judged.id: _measured(judged, models) for judged in models}
        found = self._evaluations.measured(principal, models, asked)
        columns = [_metric_column(metric, known) for metric in wanted or METRICS.values()]
        if wanted is None:
            columns = [column for column in columns if column.values]
        scores = [_benchmark_column(one.name, found) for one in asked]
        return Comparison(
            models=[_row(judged, columns, scores, known[judged.id], models) for judged in models],
            best=_best([*columns, *scores]),
            recommendations=recommend(
                [*columns, *scores], {model: measured.held_out for model, measured in known.items()}
            ),
            pending=[evaluation for evaluation in found if evaluation.processing.status != COMPLETED],
        )

    def _found(self, organization_id: str, names: list[str]) -> list[Judged]:
        found: dict[str, Judged] = {}
        for number, name in enumerate(names):
            judged = self._evaluations.find(organization_id, name, param=f"models[{number}]")
            if judged.id in found:
                raise InvalidRequest(
                    f"models[{number}]: {judged.id} is in the list already.",
                    param=f"models[{number}]",
                    remedy="Name each model once.",
                )
            found[judged.id] = judged
        return list(found.values())


def _best(columns: list[Column]) -> dict[str, str | None]:
    best: dict[str, str | None] = {}
    for column in columns:
        # A metric goes before a benchmark that is called as it is.
        best.setdefault(column.name, column.best)
    return best


def _row(
    judged: Judged, columns: list[Column], scores: list[Column], measured: Measured, models: Sequence[Judged]
) -> Compared:
    witness = _witness(judged, models)
    on = {"sha256": measured.held_out, "examples": measured.counts.get("examples")}
    return Compared(
        judged,
        metrics={column.name: _number(column, judged) for column in columns},
        benchmarks={column.name: _number(column, judged) for column in scores},
        measured_on=on | {"cardOf": witness.id} if witness and (measured.numbers or measured.held_out) else None,
    )


def _number(column: Column, judged: Judged) -> float | None:
    value = column.values.get(judged.id)
    return value.number if value else None


def _metric_column(metric: Metric, known: dict[str, Measured]) -> Column:
    values = {model: value for model, measured in known.items() if (value := measured.value(metric))}
    return Column(metric.name, values, metric.lower, metric.family, on_held_out=bool(metric.family))


def _benchmark_column(name: str, found: list[Evaluation]) -> Column:
    results = {
        evaluation.judged.id: evaluation.processing.result or {}
        for evaluation in found
        if evaluation.benchmark == name and evaluation.processing.status == COMPLETED
    }
    scored = {model: result for model, result in results.items() if result["score"] is not None}
    return Column(name, {model: Value(result["score"], result["stderr"]) for model, result in scored.items()})


def _witness(judged: Judged, models: Sequence[Judged]) -> Model | None:
    """Whose card tells of a model: its own; of a base model, the first compared one that was judged beside it."""
    if judged.model:
        return judged.model
    beside = (other.model for other in models if other.model and other.base.id == judged.id)
    return next((model for model in beside if "base" in (model.evaluation or {})), None)


def _measured(judged: Judged, models: Sequence[Judged]) -> Measured:
    witness = _witness(judged, models)
    if witness is None:
        return Measured()
    table = witness.evaluation or {}
    return Measured(
        numbers=table.get("tuned" if judged.model else "base", {}),
        counts=table,
        # The card's own metrics are those of the tuned model.
        card=judged.model.metrics if judged.model else {},
        held_out=_held_out(witness),
    )


def _held_out(model: Model) -> str | None:
    """What a model's held-out rows are known by: the file's hash; rows and seed too where they are a part of it."""
    parts = {part["role"]: part for part in model.datasets}
    if not (held_out := parts.get("validation")):
        return None
    if held_out["sha256"] != parts.get("train", {}).get("sha256"):
        return held_out["sha256"]
    return f"{held_out['sha256']}:{held_out['rows']}:{model.hyperparameters.get('seed')}"
