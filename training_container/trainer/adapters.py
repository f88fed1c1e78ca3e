"""An earlier adapter, to go on from or to adopt: it decides the shape, and has to be one that the server can apply.

The server (vLLM) reads the LoRA weights and one rank and scale for all of them, and adds them to the base model's own
weights. What PEFT can do beyond that would be trained here and lost there, so it is refused.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from luthier.jobs.hyperparameters import MAX_LORA_RANK
from trainer import failures
from trainer.failures import Failure

# What PEFT writes for an adapted linear layer. Whole layers trained beside the adapter, biases, and adapters on the
# vocabulary are parts that vLLM does not load.
_WEIGHTS = ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector")
_UNSERVED = ("embed_tokens", "lm_head")
_UNSERVED_SETTINGS = (
    *("modules_to_save", "trainable_token_indices", "target_parameters", "lora_bias"),
    *("layer_replication", "alora_invocation_tokens", "use_qalora"),
)
# Ways to begin that leave the base weights as they are. The others (PiSSA, OLoRA, CorDA, LoftQ and their like) take
# the beginning out of them, so that the adapter means nothing beside the published weights.
_PLAIN_BEGINNINGS = (True, False, None, "gaussian", "orthogonal", "eva")
_MERGE = "Merge the adapter into its base model first and train the merged model."
_MERGE_OR_CONVERT = (
    "Save it as a plain LoRA (PEFT's path_initial_model_for_weight_conversion), or merge it into its base model first."
)


class _Settings(BaseModel):
    """What decides an adapter's shape in the adapter_config.json that PEFT writes."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    peft_type: Literal["LORA"]
    task_type: Literal["CAUSAL_LM"] | None = None
    r: Annotated[int, Field(ge=1)]
    lora_alpha: Annotated[int | float, Field(gt=0)]
    lora_dropout: Annotated[int | float, Field(ge=0, lt=1)] = 0.0
    target_modules: list[str] | str
    layers_to_transform: list[int] | int | None = None
    use_rslora: bool | None = None
    use_dora: bool | None = None
    init_lora_weights: bool | str | None = True
    rank_pattern: dict[str, Annotated[int, Field(ge=1)]] | None = None
    alpha_pattern: dict[str, int | float] | None = None
    bias: str | None = None


def shape(folder: Path) -> dict[str, Any]:
    """The hyperparameters that an adapter to go on from decides, after a look at it before anything is loaded.

    Raises Failure(bad_adapter) where it cannot be read or trained, Failure(unservable) where no server would take it.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        told = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "adapter_model.safetensors")
    except (OSError, ValueError, RecursionError, SafetensorError) as error:
        raise Failure("bad_adapter", f"The adapter cannot be read: {error}") from error
    try:
        settings = _Settings.model_validate(told)
    except ValidationError as error:
        raise Failure("bad_adapter", f"The adapter's adapter_config.json is wrong. {_problem(error)}") from None
    _check_servable(settings, told, weights)
    if broken := sorted(name for name, weight in weights.items() if not weight.isfinite().all()):
        raise Failure("bad_adapter", f"The adapter's {broken[0]} holds values that are no numbers.")
    if unnamed := sorted(_adapted(weights) - _named(settings.target_modules, weights)):
        message = f"The adapter holds weights of {', '.join(unnamed)}, which its target_modules leave out."
        raise Failure("bad_adapter", message)
    return {
        "lora_rank": settings.r,
        "lora_alpha": settings.lora_alpha,
        "lora_dropout": settings.lora_dropout,
        "target_modules": sorted(_adapted(weights)),
        "lora_layers": None,
        "use_rslora": bool(settings.use_rslora),
        "use_dora": bool(settings.use_dora),
    }


def _problem(error: ValidationError) -> str:
    found = error.errors()[0]
    field = f"{found['loc'][0]}: " if found["loc"] else ""
    given = "" if found["type"] == "missing" else f" (given: {found['input']!r:.60})"
    return f"{field}{found['msg']}{given}"


def _check_servable(settings: _Settings, told: Mapping[str, Any], weights: Mapping[str, Any]) -> None:
    if settings.r > MAX_LORA_RANK:
        raise Failure("unservable", f"The adapter's rank is {settings.r}; the server takes at most {MAX_LORA_RANK}.")
    for name, pattern, one in (
        ("rank_pattern", settings.rank_pattern, settings.r),
        ("alpha_pattern", settings.alpha_pattern, settings.lora_alpha),
    ):
        if odd := {module: value for module, value in (pattern or {}).items() if value != one}:
            message = f"The adapter's {name} is {odd!s:.60}; the server applies {one} to every module."
            raise Failure("unservable", message, _MERGE)
    if settings.init_lora_weights not in _PLAIN_BEGINNINGS:
        message = (
            f"The adapter's init_lora_weights is {settings.init_lora_weights!r:.60}, which changes the base model's "
            "weights; the server has them as published."
        )
        raise Failure("unservable", message, _MERGE_OR_CONVERT)
    unserved = [name for name in _UNSERVED_SETTINGS if told.get(name)]
    if settings.bias not in (None, "none"):
        unserved.append("bias")
    if unserved:
        message = f"The adapter's {unserved[0]} is {told[unserved[0]]!r:.60}, which the server cannot apply."
        raise Failure("unservable", message, _MERGE)
    if strange := sorted(name for name in weights if not _is_servable(name)):
        raise Failure("unservable", f"The adapter holds {strange[0]}, which the server cannot apply.", _MERGE)


def _adapted(weights: Mapping[str, Any]) -> set[str]:
    """Names of the modules that an adapter's weights belong to: the part before `lora_…`."""
    return {name.partition(".lora_")[0].rpartition(".")[2] for name in weights}


def _named(modules: list[str] | str, weights: Mapping[str, Any]) -> set[str]:
    # PEFT keeps a word such as "all-linear", or a pattern, where no list was given.
    return {name.rpartition(".")[2] for name in modules} if isinstance(modules, list) else _adapted(weights)


def _is_servable(name: str) -> bool:
    return name.endswith(_WEIGHTS) and not any(f".{part}." in name for part in _UNSERVED)


def put_on(base: Any, folder: Path) -> Any:
    """The base model with the adapter on it, ready to be trained on. Raises Failure(bad_adapter) unless every weight
    finds its place and every place its weight."""
    from peft import PeftModel, load_peft_weights, set_peft_model_state_dict

    try:
        model = PeftModel.from_pretrained(base, folder, is_trainable=True)
        # Again, since the first time does not tell what was left over.
        mapping = getattr(base, "_checkpoint_conversion_mapping", {})
        told = set_peft_model_state_dict(model, load_peft_weights(folder, device="cpu", key_mapping=mapping))
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        if failures.classify(error).code == "oom":
            raise
        reason = " ".join(str(error).split())
        raise Failure("bad_adapter", f"The adapter does not fit the base model: {reason}") from error
    missing = [name for name in told.missing_keys if ".lora_" in name]
    for names, fault in (
        (told.unexpected_keys, "have no place in the base model, or none by the adapter's layers_to_transform"),
        (missing, "are missing for the adapter's target_modules"),
    ):
        if names:
            first = min(names).replace(".default", "")
            raise Failure("bad_adapter", f"{len(names)} weights {fault}; the first is {first}.")
    return model
