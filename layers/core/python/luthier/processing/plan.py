"""What a kind of processing says of its SageMaker job, and what it has at hand to say it with."""

from dataclasses import dataclass
from typing import Any

from luthier.catalog import service as catalog
from luthier.catalog.entity import BaseModel
from luthier.datasets.service import DatasetService
from luthier.models.service import ModelService
from luthier.models.store import ModelStore
from luthier.settings import Settings

_FOUR_HOURS = 4 * 3600


@dataclass(frozen=True)
class Plan:
    """One SageMaker job of the trainer's image.

    module: the program, run as `python -m <module> --root … <arguments>`; channels: name → S3 prefix, mounted below
    `input/data/`; hardware: id of the catalogue; volume_gb: of its disk, for inputs and outputs together.
    """

    module: str
    channels: dict[str, str]
    hardware: str
    volume_gb: int
    arguments: tuple[str, ...] = ()
    max_seconds: int = _FOUR_HOURS


@dataclass(frozen=True)
class Workshop:
    """What every kind may use, both when it plans and when it settles."""

    s3: Any
    settings: Settings
    datasets: DatasetService
    models: ModelService
    model_store: ModelStore


def cheapest_machine(base: BaseModel) -> str:
    """Id of the cheapest hardware that holds a base model."""
    fitting = catalog.fitting_hardware(base)
    return (fitting[0] if fitting else catalog.choose_hardware(base, "sft")).id
