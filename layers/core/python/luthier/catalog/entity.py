"""Base models, hardware and what a run on them is expected to cost. Pure: standard library only."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class BaseModel:
    """A model that can be fine-tuned.

    parameters: what its weights hold; active_parameters: what one token is multiplied with;
    max_sequence_length: tokens; revision: commit of `hub_id` that is staged; default_hardware: method → hardware id;
    listed: False for models that answer to their id but stay out of listings.
    """

    id: str
    aliases: tuple[str, ...]
    name: str
    provider: str
    parameter_label: str
    parameters: int
    active_parameters: int
    supported_tasks: tuple[str, ...]
    max_sequence_length: int
    hub_id: str
    revision: str
    license: str
    gated: bool
    layers: int
    hidden_size: int
    default_hardware: dict[str, str]
    listed: bool = True

    @property
    def methods(self) -> tuple[str, ...]:
        return tuple(self.default_hardware)


@dataclass(frozen=True)
class Instance:
    """A SageMaker instance type; `cost_per_hour` is for the whole instance."""

    type: str
    cost_per_hour: float


@dataclass(frozen=True)
class Hardware:
    """What a job can run on: one public id, one or more instance types in the order of choice.

    gpu_memory_gb: of one GPU, or of the machine when gpu_count is 0; tflops_bf16: dense peak of one GPU;
    utilization: part of the peak that training reaches; cost_per_hour: of the first instance type, in `currency`;
    nearest: what to use instead of a row that is not available.
    """

    id: str
    name: str
    gpu: str
    gpu_memory_gb: int
    gpu_count: int
    instances: tuple[Instance, ...]
    cost_per_hour: float
    currency: str
    tflops_bf16: float
    utilization: float
    available: bool
    nearest: str | None
    price_date: str
    price_source: str

    @property
    def instance_types(self) -> tuple[str, ...]:
        return tuple(instance.type for instance in self.instances)

    def instance_type(self, launch: int) -> str:
        """What a job's launch asks for, counted from 1: each retry for want of capacity asks for the next type."""
        return self.instance_types[(launch - 1) % len(self.instance_types)]

    @property
    def memory_gb(self) -> int:
        """Memory that holds the weights: of all GPUs, or of the machine."""
        return self.gpu_memory_gb * max(1, self.gpu_count)

    @property
    def flops(self) -> float:
        """Sustained floating-point operations per second of all GPUs."""
        return self.tflops_bf16 * 1e12 * max(1, self.gpu_count) * self.utilization

    @property
    def dearest_per_hour(self) -> float:
        """Price of the dearest instance type: what a run can cost at most."""
        return max((instance.cost_per_hour for instance in self.instances), default=self.cost_per_hour)

    def price_of(self, instance_type: str) -> float:
        """Price per hour of one of this row's instance types. Raises KeyError for another type."""
        return {instance.type: instance.cost_per_hour for instance in self.instances}[instance_type]


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to take.

    cost: in `currency`; seconds: billed, start-up included; tokens: all that are processed, over all epochs;
    basis: every number that the two rest on, and where it comes from.
    """

    cost: float
    seconds: int
    tokens: int
    currency: str
    hardware: Hardware
    basis: dict[str, Any]
