"""Wire shapes of the catalogue on the fine_tuning surface."""

from typing import Any, Self

from pydantic import Field

from luthier.catalog.entity import BaseModel, Hardware
from luthier.wire import CamelAnswer


class BaseModelRow(CamelAnswer):
    """A base model; the page's keys first."""

    id: str
    name: str
    provider: str
    parameter_count: str = Field(validation_alias="parameter_label")
    supported_tasks: list[str]
    max_sequence_length: int
    hub_id: str
    license: str
    gated: bool
    methods: list[str]
    default_hardware: dict[str, str]


class BaseModels(CamelAnswer):
    models: list[BaseModelRow]

    @classmethod
    def of(cls, rows: tuple[BaseModel, ...]) -> Self:
        return cls(models=[BaseModelRow.model_validate(row) for row in rows])


class HardwareRow(CamelAnswer):
    """`costPerHour` is for the whole machine; `nearest` says what to use where `available` is false."""

    id: str
    name: str
    gpu_memory: str
    gpu_count: int
    cost_per_hour: float
    currency: str
    available: bool
    nearest: str | None
    instance_types: list[str]
    price_date: str
    price_source: str


class HardwareRows(CamelAnswer):
    hardware: list[HardwareRow]

    @classmethod
    def of(cls, rows: tuple[Hardware, ...]) -> Self:
        return cls(hardware=[HardwareRow.model_validate(_facts(row)) for row in rows])


def _facts(row: Hardware) -> dict[str, Any]:
    memory = f"{row.gpu_memory_gb}GB" if row.gpu_count else "0GB"
    return vars(row) | {"gpu_memory": memory, "instance_types": row.instance_types}
