"""A job before it exists: everything that is asked for checked, priced, and resolved to what will run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from luthier import clock, ids, table
from luthier.accounts.entity import Principal
from luthier.aliases.store import AliasStore
from luthier.catalog import service as catalog
from luthier.catalog.calibration import Calibration, workload
from luthier.catalog.entity import BaseModel, Estimate, Hardware
from luthier.catalog.gate import HubGate
from luthier.datasets.entity import Dataset
from luthier.datasets.service import DatasetService
from luthier.errors import InvalidRequest
from luthier.jobs import auto, budget, columns, continuation, hyperparameters
from luthier.jobs.entity import EVALUATION, PAUSED, QUEUED, Job, JobRequest
from luthier.jobs.outcome import AWAITING_START
from luthier.models.entity import Model
from luthier.models.service import ModelService
from luthier.webhooks.address import Destinations


@dataclass(frozen=True)
class Draft:
    """A job to be, with the writes that its transaction takes in: the files that were copied for it."""

    job: Job
    writes: list[table.Write]


class JobDrafts:
    def __init__(
        self,
        datasets: DatasetService,
        models: ModelService,
        aliases: AliasStore,
        calibration: Calibration,
        gate: HubGate,
        destinations: Destinations,
        now: clock.Clock = clock.now,
    ) -> None:
        self._datasets = datasets
        self._models = models
        self._aliases = aliases
        self._calibration = calibration
        self._gate = gate
        self._destinations = destinations
        self._now = now

    @contextmanager
    def drawn(self, principal: Principal, request: JobRequest) -> Iterator[Draft]:
        """The job that a request asks for, written nowhere. Raises InvalidRequest naming the first wrong field.

        What was copied for it is removed again when the block refuses to write it.
        """
        with self._datasets.importing() as imports:
            job = self._draw(principal, request, imports)
            yield Draft(job, [*self._datasets.writes(imports), *self._models.use_writes(job)])

    def _draw(self, principal: Principal, request: JobRequest, imports: list[Dataset]) -> Job:
        base, earlier = self._origin(principal, request.base_model)
        catalog.require_method(base, request.method)
        given = continuation.continued(earlier, base, request.hyperparameters) if earlier else request.hyperparameters
        asked = hyperparameters.resolve(given, longest=base.max_sequence_length, method=request.method)
        hardware = catalog.choose_hardware(base, request.method, request.hardware, adapter=asked["adapter"])
        _require_gpu_for(request.exports, hardware)
        self._gate.check(base)
        if request.webhook_url is not None:
            self._destinations.target(request.webhook_url, param="webhookUrl")
        parts, validation = self._files(principal, request, imports)
        train, rows, tokens = parts[0][0], _total("rows", parts), _total("tokens", parts)
        resolved = _resolved(asked, request, base, validation, rows=rows, tokens=tokens)
        price = self._price(base, hardware, request.method, resolved, rows, tokens / rows)
        now = clock.iso(self._now())
        job = Job(
            id=ids.new_id("ftjob"),
            organization_id=principal.organization_id,
            owner=principal.user_id,
            name=request.name,
            description=request.description,
            base_model=earlier.base_model if earlier else request.base_model,
            training_dataset=train.id,
            training_file=train.filename,
            validation_dataset=validation.id if validation else None,
            validation_file=validation.filename if validation else None,
            hyperparameters=resolved,
            mixture=[_part(dataset, weight) for dataset, weight in parts] if _is_mixture(parts) else [],
            digests=_digests(*(dataset for dataset, _ in parts), *([validation] if validation else [])),
            base_revision=base.revision,
            invalid_share=request.invalid_share,
            auto=auto.named(asked),
            start_from=continuation.start_from(earlier) if earlier else None,
            exports=list(dict.fromkeys(request.exports)),
            evaluation=EVALUATION | (request.evaluation or {}),
            suffix=request.suffix,
            hardware=hardware.id,
            method=request.method,
            learning_rate_multiplier=request.learning_rate_multiplier,
            metadata=request.metadata,
            status=QUEUED if request.auto_start else PAUSED,
            status_reason=None if request.auto_start else AWAITING_START,
            expected={"tokens": price.tokens, "seconds": price.seconds},
            cost={"estimate": price.cost, "accrued": 0.0, "cap": request.max_cost, "currency": price.currency},
            wandb=request.wandb,
            webhook_url=request.webhook_url,
            created_at=now,
            updated_at=now,
        )
        budget.require_room(job)
        return job

    def estimate(self, base_model: str, dataset_size: int, hardware: str | None = None) -> Estimate:
        """Price and time of a run over `dataset_size` examples with default hyperparameters."""
        model = catalog.find_base_model(base_model)
        row = catalog.choose_hardware(model, "sft", hardware)
        resolved = hyperparameters.resolve({}, longest=model.max_sequence_length)
        return self._price(model, row, "sft", resolved, dataset_size)

    def _origin(self, principal: Principal, name: str) -> tuple[BaseModel, Model | None]:
        """The base model behind a name, and the organization's own model where the name is one of that, or of an
        alias that leads to it."""
        try:
            return catalog.find_base_model(name), None
        except InvalidRequest:
            if alias := self._aliases.get(principal.organization_id, name):
                return self._origin(principal, max(alias.routes, key=lambda route: route.weight).target)
            earlier = self._models.find(principal.organization_id, name)
            if earlier is None:
                raise
            return catalog.find_base_model(earlier.base_model), earlier

    def _files(
        self, principal: Principal, request: JobRequest, imports: list[Dataset]
    ) -> tuple[list[tuple[Dataset, float]], Dataset | None]:
        """The files to train on, each with its weight, and the one to validate with."""

        def file(reference: str, param: str) -> Dataset:
            share = request.invalid_share
            dataset = self._datasets.resolve(principal, reference, param=param, imports=imports, invalid_share=share)
            columns.require(dataset, request.method, param=param)
            return dataset

        one = not request.more_training and request.training_weight == 1
        first = "trainingDataset" if one else "training_files[0].file_id"
        parts = [(file(request.training_dataset, first), request.training_weight)]
        for number, (reference, weight) in enumerate(request.more_training, 1):
            parts.append((file(reference, f"training_files[{number}].file_id"), weight))
        _require_one_format(parts)
        return parts, file(request.validation_file, "validationFile") if request.validation_file else None

    def _price(
        self,
        base: BaseModel,
        hardware: Hardware,
        method: str,
        resolved: dict[str, Any],
        rows: int,
        tokens_per_row: float | None = None,
    ) -> Estimate:
        return catalog.estimate(
            base,
            hardware,
            method=method,
            adapter=resolved["adapter"],
            examples=rows,
            tokens_per_example=tokens_per_row,
            epochs=resolved["epochs"],
            lora_rank=resolved.get("lora_rank", 0),
            calibration=self._calibration.tokens_per_second(
                base.id, hardware.id, workload(method, resolved["adapter"])
            ),
        )


def _digests(*datasets: Dataset) -> dict[str, str]:
    return {dataset.id: dataset.sha256 for dataset in datasets if dataset.sha256}


def _is_mixture(parts: list[tuple[Dataset, float]]) -> bool:
    return len(parts) > 1 or parts[0][1] != 1


def _part(dataset: Dataset, weight: float) -> dict[str, Any]:
    return {"file_id": dataset.id, "weight": weight, "sha256": dataset.sha256, "rows": dataset.rows}


def _total(name: str, parts: list[tuple[Dataset, float]]) -> int:
    """Of rows or tokens, each counted as often as it is trained on."""
    return max(1, round(sum(getattr(dataset, name) * weight for dataset, weight in parts)))


def _require_one_format(parts: list[tuple[Dataset, float]]) -> None:
    first, *others = [dataset for dataset, _ in parts]
    for number, other in enumerate(others, 1):
        param = f"training_files[{number}].file_id"
        if other.id in [dataset.id for dataset, _ in parts[:number]]:
            message = f"{param}: {other.id} stands before it too."
            raise InvalidRequest(message, param=param, remedy="Name each file once, with a higher weight.")
        if other.format != first.format:
            raise InvalidRequest(
                f"{param}: {other.filename} has the format {other.format}, but {first.filename} {first.format}.",
                code="invalid_dataset",
                param=param,
                remedy="Mix files of one format.",
            )


def _resolved(
    asked: dict[str, Any],
    request: JobRequest,
    base: BaseModel,
    validation: Dataset | None,
    *,
    rows: int,
    tokens: int,
) -> dict[str, Any]:
    """What was asked for, with a value in place of every "auto"; nothing is held out beside a validation file."""
    if validation and asked["validation_share"] == hyperparameters.AUTO:
        asked = asked | {"validation_share": 0.0}
    resolved = auto.resolve(asked, method=request.method, parameters=base.parameters, rows=rows, tokens=tokens)
    if request.learning_rate_multiplier is None:
        return resolved
    rate = min(1.0, resolved["learning_rate"] * request.learning_rate_multiplier)
    return resolved | {"learning_rate": float(f"{rate:.6g}")}


def _require_gpu_for(exports: list[str], hardware: Hardware) -> None:
    if "tensorrt" in exports and not hardware.gpu_count:
        raise InvalidRequest(
            f"exports: tensorrt engines are built on a GPU, and {hardware.id} has none.",
            code="gpu_required",
            param="exports",
            remedy="Choose hardware with a GPU, or leave tensorrt out.",
        )
