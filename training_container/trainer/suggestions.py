"""Which change of the config is likely to mend a failure. The platform offers it with the failure, as a retry."""

from typing import Any

LEAST_LEARNING_RATE = 1e-8
WARMUP_STEPS = 20


def change(code: str, asked: Any) -> dict[str, Any] | None:
    """`{"hyperparameters": {name: value}}` to try instead; None where no setting would help."""
    rule = _RULES.get(code)
    changed = rule(asked) if rule else {}
    return {"hyperparameters": changed} if changed else None


def _calmer(asked: Any) -> dict[str, Any]:
    if asked.learning_rate == "auto":  # the run ended before its data was known
        return {}
    slower = max(asked.learning_rate / 5, LEAST_LEARNING_RATE)
    return {"learning_rate": float(f"{slower:.1e}"), "warmup_steps": max(asked.warmup_steps, WARMUP_STEPS)}


def _smaller(asked: Any) -> dict[str, Any]:
    """The ladder has tried smaller batches, so what is left are shorter rows and fewer trained weights."""
    if asked.adapter == "full":
        return {"adapter": "lora"}
    if asked.max_sequence_length > 512:
        return {"max_sequence_length": asked.max_sequence_length // 2}
    return {"adapter": "qlora"} if asked.adapter == "lora" else {}


_RULES = {"nan_loss": _calmer, "zero_loss": _calmer, "divergence": _calmer, "oom": _smaller}
