"""A PEFT adapter that was trained elsewhere."""

import shutil
from pathlib import Path
from typing import Any

from trainer import adapters, facts, templates, weights
from trainer.adoption.folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Sent
from trainer.evaluation import versions
from trainer.evaluation.versions import Versions
from trainer.failures import Failure

TAKEN = [ADAPTER_CONFIG, ADAPTER_WEIGHTS]


def check(sent: Sent) -> None:
    """What can be told without the base model. Raises Failure(bad_adapter, unservable)."""
    shape = adapters.shape(sent.folder)
    if shape["use_dora"]:
        message = "The adapter is a DoRA, which the server does not apply beside a shared base model."
        raise Failure("unservable", message, "Merge it into its base model, and import the merged weights.")


def tokenizer(sent: Sent, base: Any) -> Any:
    """The base's own, which the server uses for every adapter. Raises Failure(template_mismatch)."""
    if sent.has_tokenizer and templates.fingerprint(sent.tokenizer()) != templates.fingerprint(base):
        raise Failure(
            "template_mismatch",
            "The tokenizer or chat template that came along is not the base model's, which the server renders with.",
            "If the adapter was trained with the base model's own, leave the tokenizer's files out; else merge it into "
            "its base model, and import the merged weights with the tokenizer.",
        )
    return base


def load(sent: Sent, base: Path) -> Versions:
    """The base with the adapter on it. Raises Failure(bad_adapter) where it does not fit."""
    return versions.of_adapter(adapters.put_on(versions.load(base), sent.folder))


def write(sent: Sent, base_model: dict[str, Any], draft: Path) -> None:
    """The weights as they came, byte for byte, and the settings as PEFT understands them."""
    settings = _settings(sent)
    settings.base_model_name_or_path, settings.revision = base_model["id"], base_model["revision"]
    settings.inference_mode = True
    if not isinstance(settings.target_modules, str):
        settings.target_modules = sorted(settings.target_modules)
    settings.save_pretrained(draft)
    shutil.copyfile(sent.folder / ADAPTER_WEIGHTS, draft / ADAPTER_WEIGHTS)


def _settings(sent: Sent) -> Any:
    from peft import LoraConfig

    return LoraConfig.from_pretrained(str(sent.folder))


def described(sent: Sent, base: Path) -> dict[str, Any]:
    """What the card says of it; `named_base` is the base model that its own settings name, None where they do not."""
    settings = _settings(sent)
    return {
        "named_base": settings.base_model_name_or_path,
        "serving": {"kind": "adapter", "path": "."},
        "parameters": weights.parameters(base),
        "trainable_parameters": weights.parameters(sent.folder, ADAPTER_WEIGHTS),
        "strategy": facts.strategy(settings),
        "adapter": facts.adapter_parameters(settings),
    }


def require_effect(content: dict[str, Any]) -> None:
    """Raises Failure(bad_adapter) where the answers of base and tuned in a proof are the same to the last digit."""
    if all(prompt["tuned"] == prompt["base"] for prompt in content["prompts"]):
        message = "The adapter changes no answer: its weights are zero, as before training."
        raise Failure("bad_adapter", message, "Import the adapter that the training has left.")
