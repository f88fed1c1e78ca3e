"""Which hardware a deployment runs on: what clients call a GPU, and whether a model fits on it. Pure."""

import re
from math import ceil, floor

from luthier.catalog import service as catalog
from luthier.catalog.entity import BaseModel, Hardware
from luthier.errors import Unprocessable

# 16-bit weights, and on top a fifth for the key-value cache, activations and the engine.
_BYTES_PER_PARAMETER = 2
_OVERHEAD = 1.2
# The rest of a GPU's memory belongs to its driver and to fragmentation.
_USABLE = 0.92


class CannotDeploy(Unprocessable):
    default_code = "deployment_failed"


class ModelTooLarge(Unprocessable):
    default_code = "model_too_large"


def choose(base_model: BaseModel, parameters: int, gpu_type: str | None) -> Hardware:
    """The hardware that a model is served on; without a wish the cheapest GPU that it fits on.

    gpu_type: as clients write it: `a100`, `NVIDIA A100`, `a100-40gb`, an id of the catalogue. Raises CannotDeploy for
    a GPU that is not known or not available, ModelTooLarge when no row of it holds the model.
    """
    rows = _called(gpu_type) if gpu_type else _available()
    if not rows:
        raise no_capacity(gpu_type, f"No GPU {gpu_type!r} is available here.", "Unknown or unavailable GPU type")
    for row in sorted(rows, key=lambda row: row.cost_per_hour):
        if _needed_gb(parameters) <= _usable_gb(row):
            return row
    largest = max(rows, key=_usable_gb)
    fitting = [row.id for row in _available() if _needed_gb(parameters) <= _usable_gb(row)]
    higher = f"Deploy on higher-tier GPU instances: {', '.join(fitting)}."
    raise ModelTooLarge(
        f"{base_model.id} needs {ceil(_needed_gb(parameters))} GB of GPU memory; "
        f"a worker with {largest.name} has {floor(_usable_gb(largest))} GB.",
        param="gpuType",
        remedy=higher if fitting else "Deploy a smaller model.",
        details={
            "modelSize": f"{ceil(_needed_gb(parameters))}GB",
            "maxAllowedSize": f"{floor(_usable_gb(largest))}GB",
            "suggestions": [*([higher] if fitting else []), "Fine-tune a smaller base model."],
        },
    )


def no_capacity(gpu_type: str | None, message: str, reason: str = "Insufficient GPU capacity") -> CannotDeploy:
    """The refusal for want of a GPU, with those that there are."""
    return CannotDeploy(
        message,
        param="gpuType",
        remedy=f"Choose one of {', '.join(available_gpus())}.",
        details=shortage(gpu_type, reason),
    )


def shortage(gpu_type: str | None, reason: str) -> dict[str, object]:
    """Details of a failed deployment in the page's words."""
    return {"reason": reason, "availableGpuTypes": available_gpus(), "requestedGpuType": gpu_type}


def available_gpus() -> list[str]:
    """What a client may ask for, cheapest first."""
    rows = sorted(_available(), key=lambda row: row.cost_per_hour)
    return list(dict.fromkeys(row.gpu.lower() for row in rows))


def gpu_name(hardware: Hardware) -> str:
    return f"NVIDIA {hardware.gpu}"


def _available() -> list[Hardware]:
    return [row for row in catalog.hardware() if row.available and row.gpu_count]


def _called(gpu_type: str) -> list[Hardware]:
    """The available rows that a client may mean; an id of the catalogue means its row alone."""
    asked = re.sub(r"[\s_]+", "-", gpu_type.strip().lower()).removeprefix("nvidia-")
    exact = [row for row in catalog.hardware() if row.id == asked]
    if exact:
        return [row for row in exact if row in _available()]
    return [row for row in _available() if asked in _names(row)]


def _names(row: Hardware) -> set[str]:
    family, size = row.gpu.lower(), f"{row.gpu_memory_gb}gb"
    return {family, f"{family}-{size}", f"{family}-{size}-x{row.gpu_count}"}


def _needed_gb(parameters: int) -> float:
    return parameters * _BYTES_PER_PARAMETER * _OVERHEAD / 1e9


def _usable_gb(row: Hardware) -> float:
    return row.memory_gb * _USABLE
