"""What a model card says of how a model is built and was trained: read from the model, its adapter and its run."""

import math
from typing import Any


def architecture(config: Any) -> dict[str, int | None]:
    """From a transformers config. A size that this architecture does not have, such as a recurrent model's context,
    is None."""
    text = config.get_text_config()
    sizes = {
        "layers": "num_hidden_layers",
        "attention_heads": "num_attention_heads",
        "hidden_size": "hidden_size",
        "vocabulary_size": "vocab_size",
        "context_length": "max_position_embeddings",
    }
    return {name: getattr(text, attribute, None) for name, attribute in sizes.items()}


def strategy(adapter: Any, *, four_bit: bool = False) -> str:
    """ "lora", "qlora", "dora", "rslora" or "full". adapter: the LoraConfig; None for full weights; four_bit: whether
    the base's weights were in 4 bits. What changes the adapter's own mathematics names it first."""
    if adapter is None:
        return "full"
    if adapter.use_dora:
        return "dora"
    if adapter.use_rslora:
        return "rslora"
    return "qlora" if four_bit else "lora"


def adapter_parameters(adapter: Any) -> dict[str, Any]:
    """The LoraConfig's own values, in the card's words; empty for full weights."""
    if adapter is None:
        return {}
    modules = adapter.target_modules
    return {
        "rank": adapter.r,
        "alpha": adapter.lora_alpha,
        "dropout": adapter.lora_dropout,
        "target_modules": modules if isinstance(modules, str) else sorted(modules),
    }


def run(state: Any, adapter: Any, *, four_bit: bool, seconds: float) -> dict[str, Any]:
    """The card's `training`. state: the trainer's; seconds: of the attempt up to the end of its last step.

    epochs and total_steps are those that were trained; final_learning_rate and best_loss (the lowest that training
    reported) are None where nothing was reported.
    """
    history = state.log_history
    losses = [entry["loss"] for entry in history if math.isfinite(entry.get("loss", math.nan))]
    rates = [entry["learning_rate"] for entry in history if "learning_rate" in entry]
    return {
        "strategy": strategy(adapter, four_bit=four_bit),
        "parameters": adapter_parameters(adapter),
        "epochs": round(state.epoch or 0.0, 4),
        "final_learning_rate": rates[-1] if rates else None,
        "total_steps": state.global_step,
        "training_time": round(seconds, 1),
        "best_loss": min(losses, default=None),
    }


def elsewhere(strategy: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """The card's `training` of a model that was trained elsewhere: what its files tell, and None for the rest."""
    unknown = ("epochs", "final_learning_rate", "total_steps", "training_time", "best_loss")
    return {"strategy": strategy, "parameters": parameters, **dict.fromkeys(unknown)}
