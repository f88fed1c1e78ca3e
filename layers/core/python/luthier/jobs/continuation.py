"""Training on: a job that goes on from the adapter of an earlier model. Pure."""

from typing import Any

from luthier.catalog.entity import BaseModel
from luthier.errors import InvalidRequest
from luthier.jobs.hyperparameters import AUTO, to_wire
from luthier.models.entity import Model

# What the adapter's weights are shaped and scaled by: it cannot change between two trainings of one adapter.
_SHAPE = ("lora_rank", "lora_alpha", "lora_layers", "target_modules", "use_rslora", "use_dora")
_PARAM = "baseModel"


def start_from(model: Model) -> dict[str, Any]:
    """The lineage that a job records."""
    return {"model": model.name, "model_id": model.id, "artifact_uri": model.artifact_uri}


def continued(model: Model, base: BaseModel, given: dict[str, Any] | None) -> dict[str, Any]:
    """The wire hyperparameters of a job that goes on from `model`: those given, and the shape of its adapter.

    Raises InvalidRequest where the model holds no adapter of `base` as it is now, or the wishes contradict its shape.
    """
    _require_adapter(model, base)
    given = dict(given or {})
    if given.get("adapter") == "full":
        message = f"hyperparameters.adapter: {model.name} is an adapter, and full weights do not go on from one."
        raise _refusal(message, "hyperparameters.adapter", f"Send lora or qlora, or the base model {base.id}.")
    shape = to_wire({name: model.hyperparameters[name] for name in _SHAPE if name in model.hyperparameters})
    for wire, value in shape.items():
        asked = given.get(wire)
        if asked not in (None, AUTO, value):
            message = f"hyperparameters.{wire} is {asked!r}; the adapter of {model.name} was trained with {value!r}."
            raise _refusal(message, f"hyperparameters.{wire}", "Leave it out: an adapter keeps its shape.")
    return given | shape


def _require_adapter(model: Model, base: BaseModel) -> None:
    if not model.has_adapter:
        message = f"{_PARAM}: {model.name} holds no adapter to go on from."
        raise _refusal(message, _PARAM, f"Choose a model that was trained with lora or qlora, or {base.id}.")
    if model.base_revision and model.base_revision != base.revision:
        message = (
            f"{_PARAM}: the adapter of {model.name} belongs to revision {model.base_revision} of {base.id}; "
            f"this platform now has {base.revision}."
        )
        raise _refusal(message, _PARAM, f"Train from {base.id} again.")


def _refusal(message: str, param: str, remedy: str) -> InvalidRequest:
    return InvalidRequest(message, code="cannot_continue", param=param, remedy=remedy)
