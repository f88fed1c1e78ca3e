"""Finding base models and hardware, matching one with the other, and pricing a run."""

import difflib
import functools
import json
from pathlib import Path
from typing import Any

from luthier.catalog import estimate as formula
from luthier.catalog import memory
from luthier.catalog.entity import BaseModel, Estimate, Hardware, Instance
from luthier.errors import InvalidRequest, quoted

# Larger models fit into a machine's memory, but days of CPU time cost more than a GPU.
_CPU_PARAMETERS = 500_000_000
# The rest of a GPU's memory belongs to its driver and to fragmentation.
_USABLE_MEMORY = 0.92


def base_models() -> tuple[BaseModel, ...]:
    """The base models of listings, in the order of the catalogue."""
    return tuple(model for model in _all_base_models() if model.listed)


def find_base_model(name: str, *, param: str = "baseModel") -> BaseModel:
    """The base model of an id, an alias or a hub id, whatever its case. Raises InvalidRequest."""
    known = _names()
    if found := known.get(name.casefold()):
        return found
    ids = [model.id for model in base_models()]
    close = difflib.get_close_matches(name.casefold(), known, n=3, cutoff=0.5)
    nearest = list(dict.fromkeys(known[key].id for key in close if known[key].listed))
    raise InvalidRequest(
        f"{param}: the base model {quoted(name)} is not known.",
        code="unknown_base_model",
        param=param,
        details={"nearest": nearest, "available": ids},
        remedy=f"Did you mean {' or '.join(nearest)}?" if nearest else f"Choose one of {', '.join(ids)}.",
    )


def hardware() -> tuple[Hardware, ...]:
    """All hardware rows, the ones that cannot be used (`available` false) included."""
    return tuple(_hardware_by_id().values())


def find_hardware(hardware_id: str, *, param: str = "hardware") -> Hardware:
    """The hardware row of an id. Raises InvalidRequest."""
    if found := _hardware_by_id().get(hardware_id):
        return found
    ids = [row.id for row in hardware() if row.available]
    raise InvalidRequest(
        f"{param}: the hardware {quoted(hardware_id)} is not known.",
        code="unknown_hardware",
        param=param,
        details={"available": ids},
        remedy=f"Choose one of {', '.join(ids)}.",
    )


def fitting_hardware(base_model: BaseModel, method: str = "sft", adapter: str = "lora") -> tuple[Hardware, ...]:
    """What a base model can be trained on by a method, cheapest first; empty where nothing is large enough."""
    fitting = (row for row in hardware() if row.available and _fits(base_model, row, method, adapter))
    return tuple(sorted(fitting, key=lambda row: row.cost_per_hour))


def choose_hardware(
    base_model: BaseModel,
    method: str,
    requested: str | None = None,
    *,
    adapter: str = "lora",
    param: str = "hardware",
) -> Hardware:
    """The requested hardware; else the base model's default for the method, or the cheapest where that cannot do.

    adapter: lora, qlora or full, by which the memory goes. Raises InvalidRequest when the method is not supported,
    when no hardware holds the run, or when the requested row is unknown, not available, without a GPU for 4-bit
    weights or too small; all name what fits.
    """
    require_method(base_model, method)
    fitting = fitting_hardware(base_model, method, adapter)
    if not fitting:
        raise _nothing_fits(base_model, method, adapter)
    if requested is None:
        default = find_hardware(base_model.default_hardware[method])
        return default if default in fitting else fitting[0]
    row = find_hardware(requested, param=param)
    if row in fitting:
        return row
    if not row.available:
        code, message = "hardware_unavailable", f"{param}: {row.id} is not available: SageMaker has no such instance."
    elif adapter == "qlora" and not row.gpu_count:
        code, message = "gpu_required", f"{param}: {row.id} has no GPU, which adapter qlora needs."
    else:
        what = f"{base_model.id} with method {method} and adapter {adapter}"
        code, message = "hardware_too_small", f"{param}: {row.id} ({row.memory_gb} GB) is too small for {what}."
    raise _misfit(message, code, base_model, param, row.nearest, fitting)


def serving_hardware(base_model: BaseModel) -> Hardware:
    """The cheapest GPU that a base model fits on; AWS's serving container has no CPU build."""
    return next(row for row in fitting_hardware(base_model) if row.gpu_count)


def estimate(
    base_model: BaseModel,
    hardware: Hardware,
    *,
    method: str,
    adapter: str = "lora",
    examples: int,
    epochs: int,
    tokens_per_example: float | None = None,
    lora_rank: int = formula.ASSUMED_LORA_RANK,
    calibration: float | None = None,
    param: str = "datasetSize",
) -> Estimate:
    """Expected time and cost of a run over `examples` rows.

    tokens_per_example: of the dataset, when there is one; calibration: tokens per second that finished jobs of the
    same base model, hardware, method and adapter reached. Raises InvalidRequest.
    """
    require_method(base_model, method)
    if examples < 1:
        raise InvalidRequest(f"{param} must be at least 1.", param=param, remedy="Give the number of training rows.")
    return formula.estimate(
        base_model,
        hardware,
        method=method,
        adapter=adapter,
        examples=examples,
        tokens_per_example=tokens_per_example,
        epochs=epochs,
        lora_rank=lora_rank,
        calibration=calibration,
    )


def startup_cost(base_model: BaseModel, hardware: Hardware) -> float:
    """The most that a run costs before its first step."""
    return formula.startup_seconds(base_model) * hardware.dearest_per_hour / 3600


def require_method(base_model: BaseModel, method: str) -> None:
    """Raise InvalidRequest when the base model is not trained this way."""
    if method not in base_model.methods:
        raise InvalidRequest(
            f"method: {base_model.id} cannot be trained with {quoted(method)}.",
            code="unsupported_method",
            param="method",
            details={"methods": list(base_model.methods)},
            remedy=f"Choose one of {', '.join(base_model.methods)}.",
        )


def _fits(base_model: BaseModel, row: Hardware, method: str, adapter: str) -> bool:
    on_gpu = row.gpu_count > 0
    if not on_gpu and (adapter == "qlora" or base_model.parameters > _CPU_PARAMETERS):
        return False
    needed = memory.required_gb(base_model, on_gpu=on_gpu, method=method, adapter=adapter)
    return needed <= row.memory_gb * _USABLE_MEMORY


def _misfit(
    message: str, code: str, base_model: BaseModel, param: str, nearest: str | None, fitting: tuple[Hardware, ...]
) -> InvalidRequest:
    fits = [row.id for row in fitting]
    # The row that is nearest in general may be too small for this model.
    nearest = nearest if nearest in fits else fits[0]
    return InvalidRequest(
        message,
        code=code,
        param=param,
        details={"fits": fits, "nearest": nearest},
        remedy=f"The nearest is {nearest}; {base_model.id} fits on {', '.join(fits)}.",
    )


def _nothing_fits(base_model: BaseModel, method: str, adapter: str) -> InvalidRequest:
    needed = memory.required_gb(base_model, on_gpu=True, method=method, adapter=adapter)
    fits = [other for other in ("lora", "qlora") if fitting_hardware(base_model, method, other)]
    return InvalidRequest(
        f"hyperparameters.adapter: {base_model.id} takes {needed:.0f} GB with adapter {adapter}, more than there is.",
        code="hardware_too_small",
        param="hyperparameters.adapter",
        details={"fits": fits},
        remedy=f"Train it with adapter {' or '.join(fits)}.",
    )


@functools.cache
def _rows() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("catalog.json").read_text(encoding="utf-8"))


@functools.cache
def _all_base_models() -> tuple[BaseModel, ...]:
    return tuple(BaseModel(**_frozen(row)) for row in _rows()["base_models"])


@functools.cache
def _names() -> dict[str, BaseModel]:
    # Ids come last, so that no alias can hide one.
    by_alias = {name: model for model in _all_base_models() for name in (*model.aliases, model.hub_id)}
    return {name.casefold(): model for name, model in (by_alias | {m.id: m for m in _all_base_models()}).items()}


@functools.cache
def _hardware_by_id() -> dict[str, Hardware]:
    currency = _rows()["currency"]
    return {row["id"]: _hardware(row, currency) for row in _rows()["hardware"]}


def _hardware(row: dict[str, Any], currency: str) -> Hardware:
    instances = tuple(Instance(**instance) for instance in row["instances"])
    return Hardware(**row | {"instances": instances, "currency": currency})


def _frozen(row: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in row.items()}
