"""Models to export: adapters over the tiny model with a visible effect, and small models of other architectures."""

from pathlib import Path
from typing import Any

from trainer.exports.source import Source


def adapter(base: Path, folder: Path, strength: float = 0.02, **settings: Any) -> Path:
    """A PEFT adapter on every linear layer, with random weights: it changes what the base says, training or not."""
    import torch
    from peft import LoraConfig, get_peft_model

    source = Source(base, base)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM", **settings)
    model = get_peft_model(source.load(source.dtype), config)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=strength)
    model.save_pretrained(folder, save_embedding_layers=False)
    source.tokenizer.save_pretrained(folder)
    return folder


def snapshot(folder: Path, tokenizer: Any, model_type: str, **changes: Any) -> Path:
    """A random two-layer model with full weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "tie_word_embeddings": False,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **{**sizes, **changes}))
    for name, weight in model.named_parameters():
        # New biases are zero and new norms one: a converter that loses them would go unnoticed.
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, mean=1.0 if "norm" in name else 0.0, std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
