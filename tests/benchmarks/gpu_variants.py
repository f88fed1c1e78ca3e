"""The trainers that the GPU benchmark compares: each takes the same rows, base weights and adapter.

Every one is a Trainer of transformers, or made from one, so that data loading, clipping and AdamW count for all alike.
"""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks.gpu_shapes import RANK, TARGETS, Shape, tokenizer


@dataclass(frozen=True)
class Setup:
    """What all variants share. rows: token ids; micro_batch times accumulation rows make a step."""

    shape: Shape
    rows: list[list[int]]
    micro_batch: int
    accumulation: int
    steps: int
    folder: Path
    full_precision: bool = False

    @property
    def on_gpu(self) -> bool:
        import torch

        return torch.cuda.is_available()

    @property
    def dataset(self) -> Any:
        from datasets import Dataset

        return Dataset.from_dict({"input_ids": self.rows})

    def arguments(self) -> dict[str, Any]:
        return {
            "output_dir": str(self.folder),
            "per_device_train_batch_size": self.micro_batch,
            "gradient_accumulation_steps": self.accumulation,
            "max_steps": self.steps,
            "learning_rate": 1e-4,
            "bf16": self.on_gpu and not self.full_precision,
            "use_cpu": not self.on_gpu,
            "dataloader_pin_memory": self.on_gpu,
            "report_to": [],
            "save_strategy": "no",
            "logging_steps": self.steps,
            # On by default: it waits for the GPU after every backward pass.
            "logging_nan_inf_filter": False,
            "disable_tqdm": True,
        }

    def model(self) -> Any:
        """Random weights in bf16 (fp32 on a CPU), the same for every variant on the same kind of device; in full
        precision the same numbers in fp32."""
        import torch
        from transformers import AutoModelForCausalLM

        torch.manual_seed(0)
        dtype = torch.bfloat16 if self.on_gpu else torch.float32
        with torch.device("cuda" if self.on_gpu else "cpu"):
            model = AutoModelForCausalLM.from_config(self.shape.config(), dtype=dtype, attn_implementation="sdpa")
        return model.float() if self.full_precision else model


Build = Callable[[Setup], Any]


def lora() -> Any:
    """PEFT keeps the adapter in fp32 on a base in bf16."""
    from peft import LoraConfig

    return LoraConfig(task_type="CAUSAL_LM", r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules=TARGETS)


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def hugging_face(setup: Setup, *, checkpointing: bool, liger: bool = False, compiled: bool = False) -> Any:
    from peft import get_peft_model
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

    model = get_peft_model(setup.model(), lora())
    model.enable_input_require_grads()
    return Trainer(
        model=model,
        args=TrainingArguments(
            **setup.arguments(),
            **checkpoint_activations(checkpointing),
            use_liger_kernel=liger and installed("liger_kernel"),
            torch_compile=compiled,
        ),
        train_dataset=setup.dataset,
        data_collator=DataCollatorForLanguageModeling(tokenizer(), mlm=False),
    )


def checkpoint_activations(wanted: bool) -> dict[str, bool]:
    """The setting by its name: the newest transformers that Unsloth takes, 5.17, has the older one."""
    from transformers import TrainingArguments

    known = TrainingArguments.__dataclass_fields__
    return {"activation_checkpointing" if "activation_checkpointing" in known else "gradient_checkpointing": wanted}


def trl(setup: Setup, *, checkpointing: bool = True, liger: bool = False, **settings: Any) -> Any:
    from trl import SFTConfig, SFTTrainer

    arguments = {"max_length": setup.shape.longest, "use_liger_kernel": liger and installed("liger_kernel"), **settings}
    arguments |= checkpoint_activations(checkpointing)
    if settings.get("packing"):
        arguments["per_device_train_batch_size"] = packed_rows(setup)
    return SFTTrainer(
        model=setup.model(),
        peft_config=lora(),
        args=SFTConfig(**(setup.arguments() | arguments)),
        train_dataset=setup.dataset,
        processing_class=tokenizer(),
    )


def packed_rows(setup: Setup) -> int:
    """Full sequences with about as many tokens as a micro-batch of rows."""
    mean = sum(map(len, setup.rows)) / len(setup.rows)
    return max(1, round(setup.micro_batch * mean / setup.shape.longest))


def unsloth(setup: Setup, *, checkpointing: bool | str) -> Any:
    os.environ.update(HF_HUB_OFFLINE="1", UNSLOTH_DISABLE_STATISTICS="1")
    # Patches transformers and TRL, so it comes before them.
    from unsloth import FastLanguageModel

    import torch  # isort: skip
    from trl import SFTConfig, SFTTrainer

    source = setup.folder / "base"
    setup.model().save_pretrained(source)
    tokenizer().save_pretrained(source)
    torch.cuda.empty_cache()
    model, _ = FastLanguageModel.from_pretrained(
        str(source), max_seq_length=setup.shape.longest, dtype=torch.bfloat16, load_in_4bit=False, local_files_only=True
    )
    model = FastLanguageModel.get_peft_model(
        model,
        r=RANK,
        lora_alpha=2 * RANK,
        lora_dropout=0,
        bias="none",
        target_modules=TARGETS,
        use_gradient_checkpointing=checkpointing,
        random_state=0,
    )
    arguments = setup.arguments() | {"max_length": setup.shape.longest}
    return SFTTrainer(
        model=model, args=SFTConfig(**arguments), train_dataset=setup.dataset, processing_class=tokenizer()
    )


def ours(
    setup: Setup,
    *,
    padded: bool = False,
    fused: bool = True,
    liger: bool = True,
    compiled: bool = False,
    checkpointing: bool = False,
) -> Any:
    """What the sft recipe builds, on weights that were never on a disk."""
    from trl import SFTConfig

    from trainer import fused_lora, kernels, padding_free
    from trainer.loss import AssistantOnlyTrainer

    model = setup.model()
    if liger:
        kernels.use(model)
    trainer = AssistantOnlyTrainer(
        model=model,
        peft_config=lora(),
        args=SFTConfig(
            **setup.arguments(),
            max_length=None,
            padding_free=not padded
            and padding_free.prepare(model, [len(row) for row in setup.rows], setup.micro_batch),
            dataset_kwargs={"skip_prepare_dataset": True},
            include_num_input_tokens_seen="non_padding",
            **checkpoint_activations(checkpointing),
            torch_compile=compiled,
        ),
        train_dataset=setup.dataset,
        processing_class=tokenizer(),
    )
    if fused:
        fused_lora.enable(trainer.model)
    return trainer


# The path that the others are held to.
PLAIN: Build = partial(hugging_face, checkpointing=False)
VARIANTS: dict[str, Build] = {
    "hf_default": partial(hugging_face, checkpointing=True),
    "hf_liger": partial(hugging_face, checkpointing=False, liger=True),
    "hf_compiled": partial(hugging_face, checkpointing=False, compiled=True),
    "trl_default": trl,
    "trl_tuned": partial(trl, checkpointing=False, liger=True),
    "trl_packing": partial(trl, checkpointing=False, liger=True, packing=True),
    "unsloth_default": partial(unsloth, checkpointing="unsloth"),
    "unsloth_nogc": partial(unsloth, checkpointing=False),
    "ours": ours,
    "ours_padded": partial(ours, padded=True),
    "ours_pefts_lora": partial(ours, fused=False),
    "ours_plain_kernels": partial(ours, liger=False),
    "ours_compiled": partial(ours, compiled=True),
    "ours_checkpointed": partial(ours, checkpointing=True),
}


def missing(variant: str) -> str | None:
    """The package that a variant needs and that is not there."""
    return "unsloth" if variant.startswith("unsloth") and not installed("unsloth") else None
