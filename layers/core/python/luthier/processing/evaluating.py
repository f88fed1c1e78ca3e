"""Evaluating a model, or a base model, on one benchmark: `trainer.evaluate`."""

from typing import Any

from luthier.processing.entity import Processing
from luthier.processing.plan import Plan, Workshop


def plan(processing: Processing, workshop: Workshop, base_uri: str) -> Plan:
    raise NotImplementedError


def settle(processing: Processing, workshop: Workshop, output_uri: str) -> dict[str, Any]:
    raise NotImplementedError
