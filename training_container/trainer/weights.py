"""What is trained: the base model, and the adapter on it.

LoRA (https://arxiv.org/abs/2106.09685), with rsLoRA's scale (https://arxiv.org/abs/2312.03732) or DoRA
(https://arxiv.org/abs/2402.09353); QLoRA, the same on 4-bit NormalFloat weights (https://arxiv.org/abs/2305.14314); or
all weights. A run may go on from an earlier adapter, which then decides the adapter's shape.
"""

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from luthier.jobs.hyperparameters import ALL_LINEAR, LINEAR_LAYERS
from trainer import adapters, distribution, failures, templates
from trainer.config import JobConfig
from trainer.device import Device
from trainer.failures import Failure
from trainer.folders import Folders
from trainer.job import Job
from trainer.memory import Rung

_LAYER = re.compile(r"(?P<stack>\D*?)(?P<number>\d+)\.(?P<weight>.+)")


def load_tokenizer(folders: Folders) -> Any:
    tokenizer = templates.load_tokenizer(folders.base_model)
    # The long-document warning counts against this; rows are cut at max_sequence_length here.
    tokenizer.padding_side = "right"
    return tokenizer


def read_config(folders: Folders) -> tuple[Any, int]:
    """The base model's config and its number of parameters, without loading a weight."""
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folders.base_model, trust_remote_code=False)
        count = parameters(folders.base_model)
    except Exception as error:
        if failures.classify(error).code != "internal":
            raise
        raise _unusable("read", error) from error
    if not count:
        raise Failure("bad_base_model", "The base model's folder holds no safetensors file.")
    return config, count


def parameters(folder: Path, pattern: str = "*.safetensors") -> int:
    """The numbers in a folder's safetensors files, read from their headers. Raises OSError, SafetensorError."""
    from safetensors import safe_open

    count = 0
    for path in sorted(folder.glob(pattern)):
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            count += sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    return count


def load_model(job: Job, machine: Device, rung: Rung) -> Any:
    """The base model, with the earlier adapter on it where the run goes on from one; on the process's GPU unless its
    weights are to be shared out."""
    from transformers import AutoModelForCausalLM

    # Trained weights are kept in full precision: in 16 bits, small updates would be rounded away.
    width = "float32" if job.config.hyperparameters.adapter == "full" else machine.weights
    arguments = {"dtype": width, "device_map": _place(machine, rung)}
    if rung.four_bit:
        arguments["quantization_config"] = _nf4(machine)
    try:
        model, told = AutoModelForCausalLM.from_pretrained(
            job.folders.base_model,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            # They are refused below, by name.
            ignore_mismatched_sizes=True,
            **arguments,
        )
    except Exception as error:
        if failures.classify(error).code != "internal":
            raise
        raise _unusable("loaded", error) from error
    check_whole(model, told)
    if rung.four_bit and not machine.gpus:
        _keep_trainable(model)
    return adapters.put_on(model, job.folders.adapter) if job.config.start_from else model


def _unusable(done: str, error: Exception) -> Failure:
    """Whatever a library raises on the way: a wrong config breaks it anywhere."""
    # Some tell of the field in lines of their own.
    reason = " ".join(str(error).split()) or type(error).__name__
    hint = "Stage the unquantized model." if isinstance(error, ImportError) else None
    return Failure("bad_base_model", f"The base model cannot be {done}: {reason}", hint)


def check_whole(model: Any, told: Mapping[str, Any], code: str = "bad_base_model", whose: str = "base") -> None:
    """Raises Failure of that code where the config and the weights are not of one model.

    told: what transformers says of the loading.
    """
    if missing := sorted(told["missing_keys"]):
        message = f"The {whose} model's snapshot lacks {len(missing)} weights, {missing[0]} among them."
        raise Failure(code, message)
    if mismatched := sorted(told["mismatched_keys"]):
        name, stored, expected = mismatched[0]
        message = (
            f"The {whose} model's config.json does not fit {len(mismatched)} of its weights: {name} is "
            f"{tuple(stored)}, by the config it would be {tuple(expected)}."
        )
        raise Failure(code, message)
    if layers := _layers_left_out(model, told["unexpected_keys"]):
        message = (
            f"The {whose} model's config.json leaves out {len(layers)} layers of its weights, {layers[0]} among them."
        )
        raise Failure(code, message)


def _layers_left_out(model: Any, unexpected: Iterable[str]) -> list[str]:
    """Whole layers of the kind that the model has, among the weights that nobody took.

    Others are left out rightly: copies of tied weights, buffers of old, towers for images. So are the layers after the
    last that predict further tokens (https://arxiv.org/abs/2412.19437), which the config counts apart.
    """
    own = [found for name, _ in model.named_parameters() if (found := _LAYER.match(name))]
    kinds = {(found["stack"], found["weight"]) for found in own}
    present = {(found["stack"], int(found["number"])) for found in own}
    settings = model.config.get_text_config()
    after = settings.num_hidden_layers + (getattr(settings, "num_nextn_predict_layers", None) or 0)
    left = {
        (found["stack"], int(found["number"]))
        for name in unexpected
        if (found := _LAYER.match(name)) and (found["stack"], found["weight"]) in kinds
    }
    return [f"{stack}{number}" for stack, number in sorted(left - present) if number >= after]


def _place(machine: Device, rung: Rung) -> Any:
    if machine.gpus and not rung.sharded:
        return {"": distribution.local_rank()}
    # Quantized weights cannot be moved afterwards.
    return "cpu" if rung.four_bit else None


def _nf4(machine: Device) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, machine.weights),
    )


def _keep_trainable(model: Any) -> None:
    """On CPUs with AVX-512 BF16, a 4-bit layer outside training repacks its weights for good, into a form that has no
    gradient and that bitsandbytes 0.50 cannot make where a row is no multiple of 64 long."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def lora(config: JobConfig, layers_of_model: int) -> Any:
    """The new adapter's LoraConfig; None where all weights are trained or an earlier adapter goes on."""
    from peft import LoraConfig

    asked = config.hyperparameters
    if asked.adapter == "full" or config.start_from:
        return None
    modules, top = asked.target_modules, None
    if asked.lora_layers is not None and asked.lora_layers < layers_of_model:
        top = list(range(layers_of_model - asked.lora_layers, layers_of_model))
        # PEFT refuses to pick layers together with "all-linear".
        modules = list(LINEAR_LAYERS) if modules == ALL_LINEAR else modules
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=asked.lora_rank,
        lora_alpha=asked.lora_alpha,
        lora_dropout=asked.lora_dropout,
        target_modules=modules,
        layers_to_transform=top,
        use_rslora=asked.use_rslora,
        use_dora=asked.use_dora,
    )


def served_as(config: JobConfig) -> dict[str, str]:
    """How the result is served: as an adapter beside its base, or as a model of its own. vLLM applies no DoRA."""
    if config.hyperparameters.adapter == "full":
        return {"kind": "model", "path": "."}
    if config.hyperparameters.use_dora:
        return {"kind": "model", "path": "exports/merged"}
    return {"kind": "adapter", "path": "."}
