"""Wire shapes of evaluations and comparisons on the training_models surface."""

from typing import Annotated, Any, Self

from pydantic import Field

from luthier.processing.comparing import Comparison
from luthier.processing.entity import COMPLETED, FAILED
from luthier.processing.evaluations import Evaluation
from luthier.wire import LONGEST_NAME, Answer, CamelAnswer, Request

Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
_BENCHMARKS = "A file of yours by id or name, or a benchmark of the operator."


class EvaluateModel(Request):
    benchmarks: list[Name] = Field(min_length=1, max_length=20, description=_BENCHMARKS)
    max_examples: int | None = Field(
        default=None, ge=1, le=10_000, description="Answers generated of an eval set; 100 if it is not sent."
    )


class EvaluationError(Answer):
    code: str
    message: str
    hint: str | None = None


class EvaluationObject(CamelAnswer):
    """`score` and `stderr` are 0 to 100; `metric` names what the score is; `baseMetrics` are of the same run."""

    id: str
    model_id: str
    version: str
    benchmark: str
    status: str
    score: float | None
    stderr: float | None
    metric: str | None
    metrics: dict[str, Any] | None
    base_metrics: dict[str, Any] | None
    examples: dict[str, int] | None
    complete: bool | None
    attempt: int
    seconds: int
    cost: float
    created_at: str
    completed_at: str | None
    error: EvaluationError | None

    @classmethod
    def of(cls, evaluation: Evaluation) -> Self:
        """A waiting one shows in `error` what it waits for."""
        processing, result = evaluation.processing, evaluation.processing.result or {}
        reason = processing.status_reason
        return cls(
            id=processing.id,
            model_id=evaluation.judged.id,
            version=evaluation.judged.version,
            benchmark=evaluation.benchmark,
            status=processing.status,
            score=result.get("score"),
            stderr=result.get("stderr"),
            metric=result.get("metric"),
            metrics=result.get("metrics"),
            base_metrics=result.get("base"),
            examples=result.get("examples"),
            complete=result.get("complete"),
            attempt=processing.attempt,
            seconds=processing.seconds,
            cost=processing.cost,
            created_at=processing.created_at,
            completed_at=processing.finished_at if processing.status == COMPLETED else None,
            error=EvaluationError(**reason) if reason else None,
        )


class EvaluationList(Answer):
    evaluations: list[EvaluationObject]

    @classmethod
    def of(cls, evaluations: list[Evaluation]) -> Self:
        return cls(evaluations=[EvaluationObject.of(evaluation) for evaluation in evaluations])


class CompareModels(Request):
    models: list[Name] = Field(min_length=1, max_length=10, description="Ids, public names, or base models.")
    metrics: list[Name] | None = Field(default=None, max_length=20, description="All that any model has by default.")
    benchmarks: list[Name] = Field(default=[], max_length=10, description=_BENCHMARKS)


class MeasuredOn(CamelAnswer):
    """The held-out rows behind a row's metrics, by the card of `cardOf`. Equal `sha256` means the same rows."""

    sha256: str | None
    examples: int | None
    card_of: str


class ComparedModel(Answer):
    id: str
    name: str
    version: str
    metrics: dict[str, float | None]
    benchmarks: dict[str, float | None]
    measured_on: MeasuredOn | None = Field(serialization_alias="measuredOn")


class PendingEvaluation(CamelAnswer):
    model: str
    benchmark: str
    evaluation_id: str
    status: str
    error: EvaluationError | None


class ComparisonBody(Answer):
    """`best_performing` is null where no model has the measure; ask again to read what is pending."""

    models: list[ComparedModel]
    best_performing: dict[str, str | None]
    recommendations: list[str]
    pending: list[PendingEvaluation]


class ComparisonAnswer(Answer):
    comparison: ComparisonBody

    @classmethod
    def of(cls, comparison: Comparison) -> Self:
        models = [
            ComparedModel(
                id=row.judged.id,
                name=row.judged.name,
                version=row.judged.version,
                metrics=row.metrics,
                benchmarks=row.benchmarks,
                measured_on=MeasuredOn.model_validate(row.measured_on) if row.measured_on else None,
            )
            for row in comparison.models
        ]
        return cls(
            comparison=ComparisonBody(
                models=models,
                best_performing=comparison.best,
                recommendations=comparison.recommendations,
                pending=[_pending(evaluation) for evaluation in comparison.pending],
            )
        )


def _pending(evaluation: Evaluation) -> PendingEvaluation:
    processing = evaluation.processing
    reason = processing.status_reason if processing.status == FAILED else None
    return PendingEvaluation(
        model=evaluation.judged.id,
        benchmark=evaluation.benchmark,
        evaluation_id=processing.id,
        status=processing.status,
        error=EvaluationError(**reason) if reason else None,
    )
