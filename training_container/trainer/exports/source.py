"""The model that is exported: an adapter over its base snapshot, or a snapshot of its own."""

import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

from trainer import failures, log
from trainer.failures import Failure

ADAPTER_CONFIG = "adapter_config.json"
# Of the weights in float32: the layer being merged, activations, what the process already holds.
MEMORY_MARGIN = 1.5


class Source:
    """Raises Failure(bad_base_model) when a folder does not hold what it has to."""

    def __init__(self, model_folder: Path, base_folder: Path) -> None:
        self.folder = model_folder
        self.is_adapter = (model_folder / ADAPTER_CONFIG).exists()
        self.weights_folder = base_folder if self.is_adapter else model_folder
        if not (self.weights_folder / "config.json").exists():
            raise Failure(
                "bad_base_model",
                f"{self.weights_folder} holds no config.json, so there is no model to load.",
                f"Give the base snapshot that {ADAPTER_CONFIG} belongs to, or a folder with full weights.",
            )

    @cached_property
    def config(self) -> Any:
        """The transformers configuration of the whole model."""
        from transformers import AutoConfig

        config = AutoConfig.from_pretrained(self.weights_folder)
        if getattr(config, "quantization_config", None):
            raise Failure(
                "export_unsupported",
                "The base snapshot is quantized, and merging into it would lose what was trained.",
                "Export with the unquantized snapshot of the same model as base.",
            )
        return config

    @property
    def dtype(self) -> str:
        """In which type the base keeps its weights: "float32", "bfloat16" or "float16"."""
        return str(self.config.dtype or "float32").removeprefix("torch.")

    @cached_property
    def tokenizer(self) -> Any:
        """The adapter's where it has one: the template may have changed in training."""
        from transformers import AutoTokenizer

        found = (self.folder / "tokenizer_config.json").exists()
        return AutoTokenizer.from_pretrained(self.folder if found else self.weights_folder)

    @cached_property
    def computed_in(self) -> str:
        """The type for asking this model and its export: float32 where memory allows, else the base's own.

        What bfloat16 rounds off on the way through the layers is several times what it rounds off the weights, and
        would hide a small mistake.
        """
        import psutil
        import torch

        stored = sum(path.stat().st_size for path in self.weights_folder.glob("*.safetensors"))
        needed = stored * 4 / getattr(torch, self.dtype).itemsize
        return "float32" if needed * MEMORY_MARGIN < psutil.virtual_memory().available else self.dtype

    def load(self, dtype: str) -> Any:
        """The model in that type, the adapter beside the weights. Raises Failure(bad_base_model, bad_adapter)."""
        from safetensors import SafetensorError
        from transformers import AutoModelForCausalLM

        try:
            model = AutoModelForCausalLM.from_pretrained(self.weights_folder, dtype=dtype, use_safetensors=True)
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            if failures.classify(error).code != "internal":
                raise
            raise Failure("bad_base_model", f"The model cannot be loaded: {error}") from error
        return self._with_adapter(model).eval()

    def _with_adapter(self, model: Any) -> Any:
        if not self.is_adapter:
            return model
        from peft import PeftModel
        from safetensors import SafetensorError

        try:
            return PeftModel.from_pretrained(model, self.folder)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
            if failures.classify(error).code != "internal":
                raise
            raise Failure("bad_adapter", f"The adapter cannot be loaded on its base model: {error}") from error

    def merge(self, model: Any) -> Any:
        """What `load` gave, with the adapter added into its weights in place, in the base's type.

        Layer by layer in float32, rounded to the base's type once: in bfloat16, adding a small change to a weight
        loses most of the change's digits. Only one layer at a time is held twice.
        """
        import torch

        return (self._add_adapter(model) if self.is_adapter else model).to(getattr(torch, self.dtype))

    def _add_adapter(self, model: Any) -> Any:
        import torch
        from peft.tuners.tuners_utils import BaseTunerLayer

        log.info("merging", into=self.dtype)
        for module in model.modules():
            if isinstance(module, BaseTunerLayer):
                layer = module.get_base_layer()
                dtype = layer.weight.dtype
                layer.to(torch.float32)
                module.merge(safe_merge=True)
                layer.to(dtype)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All adapters are already merged")
            return model.merge_and_unload()
