"""Evaluating models on demand: one processing per model, content of the benchmark and number of examples."""

from dataclasses import dataclass

from luthier.accounts.entity import Principal
from luthier.catalog import service as catalog
from luthier.catalog.entity import BaseModel
from luthier.errors import Conflict, InvalidRequest, NotFound
from luthier.models.entity import Model
from luthier.models.service import ModelService
from luthier.processing.benchmarks import Benchmark, Benchmarks
from luthier.processing.entity import EVALUATE, FAILED, Processing
from luthier.processing.service import ProcessingService


@dataclass(frozen=True)
class Judged:
    """A model, or a base model, as something that is evaluated and compared."""

    id: str
    name: str
    version: str
    base: BaseModel
    model: Model | None


@dataclass(frozen=True)
class Evaluation:
    judged: Judged
    benchmark: str
    processing: Processing


class EvaluationService:
    def __init__(self, processings: ProcessingService, models: ModelService, benchmarks: Benchmarks) -> None:
        self._processings = processings
        self._models = models
        self._benchmarks = benchmarks

    def evaluate(
        self, principal: Principal, name: str, benchmarks: list[str], max_examples: int | None = None
    ) -> list[Evaluation]:
        """The evaluation of a model on each benchmark: what was measured before, else started; failed ones again.

        Raises NotFound for the model, Conflict for one that is archived, InvalidRequest for a benchmark.
        """
        judged = self.find(principal.organization_id, name)
        found = self.benchmarks(principal.organization_id, benchmarks)
        require_present(judged)
        return [self._ensured(principal, judged, benchmark, max_examples) for benchmark in found]

    def measured(self, principal: Principal, models: list[Judged], benchmarks: list[Benchmark]) -> list[Evaluation]:
        """The evaluation of every model on every benchmark; missing ones are started, those that failed stay so.

        Whoever asks again and again for a comparison must not start again and again what cannot succeed. Raises
        Conflict, and starts nothing, where one is missing of a model that is archived.
        """
        wanted = [(judged, benchmark) for benchmark in benchmarks for judged in models]
        known = [self._known(principal, *wish) for wish in wanted]
        for (judged, _), processing in zip(wanted, known, strict=True):
            if processing is None:
                require_present(judged)
        return [
            Evaluation(judged, benchmark.name, processing)
            if processing and processing.status == FAILED
            else self._ensured(principal, judged, benchmark, None)
            for (judged, benchmark), processing in zip(wanted, known, strict=True)
        ]

    def _known(self, principal: Principal, judged: Judged, benchmark: Benchmark) -> Processing | None:
        return self._processings.peek(principal.organization_id, EVALUATE, judged.id, benchmark.spec(None))

    def benchmarks(self, organization_id: str, names: list[str]) -> list[Benchmark]:
        """The benchmark of each name, each once. Raises InvalidRequest."""
        return self._benchmarks.find(organization_id, names)

    def list(self, principal: Principal, name: str) -> list[Evaluation]:
        """The newest hundred evaluations of a model. Raises NotFound."""
        judged = self.find(principal.organization_id, name)
        found = self._processings.of_subject(principal.organization_id, EVALUATE, judged.id)
        return [Evaluation(judged, processing.about or "", processing) for processing in found]

    def get(self, principal: Principal, name: str, evaluation_id: str) -> Evaluation:
        """One evaluation of a model. Raises NotFound."""
        judged = self.find(principal.organization_id, name)
        processing = self._processings.find(principal.organization_id, evaluation_id)
        if processing is None or processing.kind != EVALUATE or processing.subject != judged.id:
            raise NotFound(
                f"{judged.id} has no evaluation {evaluation_id!r}.",
                param="evaluation_id",
                remedy="List the model's evaluations.",
            )
        return Evaluation(judged, processing.about or "", processing)

    def find(self, organization_id: str, name: str, *, param: str = "model") -> Judged:
        """What an id, any public name or a base model's name means. Raises NotFound."""
        if model := self._models.find(organization_id, name):
            return Judged(model.id, model.name, model.version, catalog.find_base_model(model.base_model), model)
        try:
            base = catalog.find_base_model(name)
        except InvalidRequest as error:
            missing = self._models.missing(organization_id, name)
            if not isinstance(missing, NotFound):
                raise missing from error
            raise NotFound(
                "Model with specified ID does not exist.",
                code="model_not_found",
                param=param,
                details={"modelId": name},
                remedy="List the models.",
            ) from error
        return Judged(base.id, base.id, base.revision, base, None)

    def _ensured(
        self, principal: Principal, judged: Judged, benchmark: Benchmark, max_examples: int | None
    ) -> Evaluation:
        processing = self._processings.ensure(
            principal.organization_id,
            EVALUATE,
            judged.id,
            judged.base.id,
            benchmark.spec(max_examples),
            principal.user_id,
            benchmark.context,
        )
        return Evaluation(judged, benchmark.name, processing)


def require_present(judged: Judged) -> None:
    """Raise Conflict for a model that is archived: its files may lie where no job can read them."""
    if judged.model and judged.model.status == "archived":
        raise Conflict(
            f"{judged.id} is archived; an archived model is not evaluated.",
            details={"current": "archived", "required": ["ready", "deployed"]},
            remedy="Restore it first.",
        )
