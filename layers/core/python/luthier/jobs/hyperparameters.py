"""The hyperparameters of a job: one row each, with range and default. Pure; the trainer builds its config from it."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from luthier.errors import InvalidRequest

METHODS = ("sft", "dpo", "orpo", "kto")
PREFERENCE_METHODS = ("dpo", "orpo", "kto")
ADAPTERS = ("lora", "qlora", "full")
LORA_ADAPTERS = ("lora", "qlora")
SCHEDULERS = ("linear", "cosine", "constant", "constant_with_warmup")
# The linear layers of a block, and all that the serving engine takes adapters for.
LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ALL_LINEAR = "all-linear"
# The highest that the serving engine is started with; vLLM takes 8, 16, 32, 64, 128, 256, 320 and 512.
MAX_LORA_RANK = 256
AUTO = "auto"

Value = bool | int | float | str | list[str] | None
Kind = Literal["int", "float", "bool", "choice", "list"]
_NUMBERS: dict[str, type] = {"int": int, "float": float}
_A = {"int": "an integer", "float": "a number", "bool": "true or false", "choice": "a word", "list": "a list of names"}


@dataclass(frozen=True)
class Hyperparameter:
    """One row. Bounds are inclusive; `default` may be "auto" or None, whatever the kind.

    choices: the words of a choice or the members of a list, whose `whole` word stands for all of them;
    auto: whether "auto" is a value (luthier.jobs.auto resolves it); methods, adapters: where the row means anything;
    method_defaults: method → default, where it differs.
    """

    name: str
    kind: Kind
    default: Value
    sentence: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    whole: str | None = None
    auto: bool = False
    methods: tuple[str, ...] = METHODS
    adapters: tuple[str, ...] = ADAPTERS
    method_defaults: dict[str, Value] = field(default_factory=dict)

    @property
    def wire(self) -> str:
        """The camelCase name of the REST surfaces."""
        first, *rest = self.name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    @property
    def rule(self) -> str:
        """What a value must be, for people."""
        if self.kind in _NUMBERS:
            rule = f"{self.minimum:g} to {self.maximum:g}"
        elif self.kind == "bool":
            rule = "true or false"
        else:
            rule = f"{'some' if self.kind == 'list' else 'one'} of {', '.join(self.choices)}"
        return rule + (f", or {self.whole}" if self.whole else "") + (", or auto" if self.auto else "")

    @property
    def words(self) -> list[str]:
        """Every word that is a value, or part of one."""
        return [*self.choices, *filter(None, (self.whole, AUTO if self.auto else None))]

    def default_for(self, method: str) -> Value:
        return self.method_defaults.get(method, self.default)


def _int(name: str, default: Value, minimum: int, maximum: int, sentence: str, **more: Any) -> Hyperparameter:
    return Hyperparameter(name, "int", default, sentence, minimum, maximum, **more)


def _float(name: str, default: Value, minimum: float, maximum: float, sentence: str, **more: Any) -> Hyperparameter:
    return Hyperparameter(name, "float", default, sentence, minimum, maximum, **more)


def _choice(name: str, default: str, choices: tuple[str, ...], sentence: str) -> Hyperparameter:
    return Hyperparameter(name, "choice", default, sentence, choices=choices)


def _bool(name: str, sentence: str, **more: Any) -> Hyperparameter:
    return Hyperparameter(name, "bool", False, sentence, **more)


_LORA: dict[str, Any] = {"adapters": LORA_ADAPTERS}
HYPERPARAMETERS = (
    _int("epochs", 3, 1, 100, "Passes over the training rows.", auto=True),
    _float(
        "learning_rate",
        2e-4,
        1e-8,
        1.0,
        "Peak learning rate.",
        auto=True,
        method_defaults=dict.fromkeys(PREFERENCE_METHODS, AUTO),
    ),
    _int("batch_size", 8, 1, 1024, "Rows per optimizer step.", auto=True),
    _int("warmup_steps", 0, 0, 100_000, "Steps over which the learning rate rises."),
    _choice("lr_scheduler", "linear", SCHEDULERS, "How the learning rate goes on after the warmup."),
    _float("weight_decay", 0.0, 0.0, 1.0, "AdamW's decoupled weight decay."),
    _float("max_grad_norm", 1.0, 0.01, 100.0, "Gradients are clipped to this L2 norm."),
    _int("max_sequence_length", 2048, 8, 262_144, "Tokens per row; the rest is cut."),
    _float(
        "beta",
        0.1,
        0.001,
        10.0,
        "Weight of the preference: of staying near the reference model in dpo and kto, of the odds ratio in orpo.",
        methods=PREFERENCE_METHODS,
    ),
    _choice("adapter", "lora", ADAPTERS, "What is trained: an adapter, one on 4-bit (NF4) weights, or all weights."),
    _int("lora_rank", 16, 1, MAX_LORA_RANK, "Rank of the adapter.", auto=True, **_LORA),
    _int("lora_alpha", None, 1, 1024, "Scale of the adapter; twice the rank by default.", **_LORA),
    _float("lora_dropout", 0.0, 0.0, 0.9, "Dropout on the adapter's input.", **_LORA),
    _int("lora_layers", None, 1, 1_000, "Adapt only the last N layers; all by default.", **_LORA),
    Hyperparameter(
        "target_modules",
        "list",
        ALL_LINEAR,
        "The linear layers that get an adapter.",
        choices=LINEAR_LAYERS,
        whole=ALL_LINEAR,
        **_LORA,
    ),
    _bool("use_rslora", "Scale the adapter by alpha / sqrt(rank) in place of alpha / rank (rsLoRA).", **_LORA),
    _bool("use_dora", "Train magnitude and direction apart (DoRA); the result is served merged.", **_LORA),
    _float(
        "validation_share",
        AUTO,
        0.0,
        0.5,
        "Part of the training rows held out when there is no validation file.",
        auto=True,
    ),
    _int(
        "early_stopping_patience",
        0,
        0,
        100,
        "Evaluations without improvement after which the run ends with its best checkpoint; 0 never ends it early.",
    ),
    _float("max_truncated_share", 1.0, 0.0, 1.0, "The run fails when a larger share of the rows is cut."),
    _int("seed", 42, 0, 2**31 - 1, "Seed of data order and initialisation."),
)
_BY_WIRE = {row.wire: row for row in HYPERPARAMETERS}
_BY_NAME = {row.name: row for row in HYPERPARAMETERS}


def resolve(given: dict[str, Any] | None, *, longest: int, method: str = "sft") -> dict[str, Any]:
    """Every hyperparameter that means something to the job: the given ones checked, the others at their defaults.

    given: wire name → value; longest: the base model's maximum sequence length in tokens. What says "auto" stays so,
    and so does the learning rate of full weights when none is given: luthier.jobs.auto knows the dataset.
    Raises InvalidRequest naming the first wrong field.
    """
    checked: dict[str, Any] = {_row(wire).name: _checked(_row(wire), value) for wire, value in (given or {}).items()}
    checked = {name: value for name, value in checked.items() if value is not None}
    adapter = checked.get("adapter", "lora")
    for wire in given or {}:
        if _row(wire).name in checked:
            _require_use(_row(wire), method, adapter)
    rows = [row for row in HYPERPARAMETERS if method in row.methods and adapter in row.adapters]
    resolved: dict[str, Any] = {row.name: row.default_for(method) for row in rows}
    resolved["max_sequence_length"] = min(resolved["max_sequence_length"], longest)
    if adapter == "full":
        resolved["learning_rate"] = AUTO
    resolved |= checked
    if method == "kto" and resolved["batch_size"] == 1:
        raise InvalidRequest(
            "hyperparameters.batchSize is 1; kto compares the answers of a batch and needs at least 2.",
            param="hyperparameters.batchSize",
            remedy="Send 2 or more.",
        )
    if resolved["max_sequence_length"] > longest:
        raise _out_of_range(_BY_WIRE["maxSequenceLength"], resolved["max_sequence_length"], longest)
    return with_alpha(resolved)


def with_alpha(resolved: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters with twice the rank as alpha, where the rank is known and alpha is not."""
    rank = resolved.get("lora_rank")
    if rank in (None, AUTO) or resolved.get("lora_alpha") is not None:
        return resolved
    return resolved | {"lora_alpha": 2 * rank}


def to_wire(resolved: dict[str, Any]) -> dict[str, Any]:
    """The resolved hyperparameters under their wire names."""
    return {row.wire: resolved[row.name] for row in HYPERPARAMETERS if row.name in resolved}


def wire_of(name: str) -> str:
    """The wire name of a row."""
    return _BY_NAME[name].wire


def _row(wire: str) -> Hyperparameter:
    if row := _BY_WIRE.get(wire):
        return row
    raise InvalidRequest(
        f"Unknown hyperparameter {wire!r}.",
        code="unknown_hyperparameter",
        param=f"hyperparameters.{wire}",
        remedy=_meant(wire, _BY_WIRE) or f"Known: {', '.join(_BY_WIRE)}.",
    )


def _meant(word: str, known: Iterable[str]) -> str | None:
    """`Did you mean …?` where one of the known words is near."""
    spelled = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), spelled, n=1, cutoff=0.5)
    return f"Did you mean {spelled[near[0]]!r}?" if near else None


def _require_use(row: Hyperparameter, method: str, adapter: str) -> None:
    for kind, value, allowed in (("method", method, row.methods), ("adapter", adapter, row.adapters)):
        if value not in allowed:
            raise InvalidRequest(
                f"hyperparameters.{row.wire} means nothing to the {kind} {value!r}; it is for {', '.join(allowed)}.",
                param=f"hyperparameters.{row.wire}",
                remedy=f"Leave it out, or choose another {kind}.",
            )


def _checked(row: Hyperparameter, value: Any) -> Value:
    if value is None or (row.auto and value == AUTO) or (row.whole and value == row.whole):
        return value
    if row.kind in _NUMBERS:
        return _number(row, value)
    if row.kind == "bool":
        return value if isinstance(value, bool) else _refuse(row, value)
    words = value if row.kind == "list" else [value]
    if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
        return _refuse(row, value)
    for word in words:
        if word not in row.choices:
            _refuse(row, value, word)
    return list(dict.fromkeys(words)) if row.kind == "list" else words[0]


def _number(row: Hyperparameter, value: Any) -> int | float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (row.kind == "int" and value != value // 1):
        _refuse(row, value)
    if row.minimum is None or row.maximum is None or not row.minimum <= value <= row.maximum:
        raise _out_of_range(row, value, row.maximum)
    converted: int | float = _NUMBERS[row.kind](value)
    return converted


def _refuse(row: Hyperparameter, value: Any, word: str | None = None) -> Any:
    """word: the one of a list that is wrong."""
    shown, wrong = repr(value), word or (value if isinstance(value, str) else "")
    raise InvalidRequest(
        f"hyperparameters.{row.wire} must be {_A[row.kind]}, {row.rule}; got {shown:.100}.",
        param=f"hyperparameters.{row.wire}",
        remedy=_meant(wrong, row.words) or f"Send {row.rule}.",
    )


def _out_of_range(row: Hyperparameter, value: Any, maximum: float | None) -> InvalidRequest:
    return InvalidRequest(
        f"hyperparameters.{row.wire} is {value!r:.40}; it must lie from {row.minimum:g} to {maximum:g}.",
        param=f"hyperparameters.{row.wire}",
        remedy="Send a value inside the range.",
    )
