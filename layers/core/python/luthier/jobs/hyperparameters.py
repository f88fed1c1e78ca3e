"""The hyperparameters of a job: one row each, with range and default."""

import difflib
from dataclasses import dataclass
from typing import Any

from luthier.errors import InvalidRequest


@dataclass(frozen=True)
class Hyperparameter:
    """`wire` is the camelCase name of the REST surfaces; bounds are inclusive."""

    name: str
    wire: str
    kind: type
    default: int | float | None
    minimum: float
    maximum: float
    sentence: str


HYPERPARAMETERS = (
    Hyperparameter("epochs", "epochs", int, 3, 1, 100, "Passes over the training rows."),
    Hyperparameter("learning_rate", "learningRate", float, 2e-4, 1e-8, 1.0, "Peak learning rate."),
    Hyperparameter("batch_size", "batchSize", int, 8, 1, 1024, "Rows per optimizer step."),
    Hyperparameter("warmup_steps", "warmupSteps", int, 0, 0, 100_000, "Steps over which the learning rate rises."),
    Hyperparameter(
        "max_sequence_length", "maxSequenceLength", int, 2048, 32, 262_144, "Tokens per row; the rest is cut."
    ),
    Hyperparameter("lora_rank", "loraRank", int, 16, 1, 256, "Rank of the adapter."),
    Hyperparameter("lora_alpha", "loraAlpha", int, None, 1, 1024, "Scale of the adapter; twice the rank by default."),
    Hyperparameter("lora_dropout", "loraDropout", float, 0.0, 0.0, 0.9, "Dropout on the adapter's input."),
    Hyperparameter("lora_layers", "loraLayers", int, None, 1, 1_000, "Adapt only the last N layers; all by default."),
    Hyperparameter("seed", "seed", int, 42, 0, 2**31 - 1, "Seed of data order and initialisation."),
)
_BY_WIRE = {row.wire: row for row in HYPERPARAMETERS}


def resolve(given: dict[str, Any] | None, *, longest: int) -> dict[str, Any]:
    """Every hyperparameter of a job: the given ones checked, the others at their defaults.

    given: wire name → value; longest: the base model's maximum sequence length in tokens.
    Raises InvalidRequest naming the first wrong field.
    """
    resolved: dict[str, Any] = {row.name: row.default for row in HYPERPARAMETERS}
    resolved["max_sequence_length"] = min(resolved["max_sequence_length"], longest)
    for wire, value in (given or {}).items():
        row = _BY_WIRE.get(wire)
        if row is None:
            raise _unknown(wire)
        if value is not None:
            resolved[row.name] = _checked(row, value)
    if resolved["max_sequence_length"] > longest:
        raise _out_of_range(_BY_WIRE["maxSequenceLength"], resolved["max_sequence_length"], longest)
    if resolved["lora_alpha"] is None:
        resolved["lora_alpha"] = 2 * resolved["lora_rank"]
    return resolved


def to_wire(resolved: dict[str, Any]) -> dict[str, Any]:
    """The resolved hyperparameters under their wire names."""
    return {row.wire: resolved[row.name] for row in HYPERPARAMETERS if row.name in resolved}


def _unknown(wire: str) -> InvalidRequest:
    near = difflib.get_close_matches(wire, _BY_WIRE, n=1, cutoff=0.5)
    return InvalidRequest(
        f"Unknown hyperparameter {wire!r}.",
        code="unknown_hyperparameter",
        param=f"hyperparameters.{wire}",
        remedy=f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(_BY_WIRE)}.",
    )


def _checked(row: Hyperparameter, value: Any) -> int | float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (row.kind is int and value != int(value)):
        raise InvalidRequest(
            f"hyperparameters.{row.wire} must be {'an integer' if row.kind is int else 'a number'}, got {value!r}.",
            param=f"hyperparameters.{row.wire}",
            remedy=f"Send a value from {row.minimum:g} to {row.maximum:g}.",
        )
    if not row.minimum <= value <= row.maximum:
        raise _out_of_range(row, value, row.maximum)
    return row.kind(value)


def _out_of_range(row: Hyperparameter, value: Any, maximum: float) -> InvalidRequest:
    return InvalidRequest(
        f"hyperparameters.{row.wire} is {value!r}; it must lie from {row.minimum:g} to {maximum:g}.",
        param=f"hyperparameters.{row.wire}",
        remedy="Send a value inside the range.",
    )
