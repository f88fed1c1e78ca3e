"""What the machine offers, and the settings that follow from it."""

import os
import shutil
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Device:
    """`gpus` visible GPUs, whether they compute in bf16, and the type of the base weights ("float32", …)."""

    gpus: int
    bf16: bool
    weights: str

    @property
    def training_arguments(self) -> dict[str, Any]:
        """Activation checkpointing costs a second forward pass, so it stays off; memory is judged before the launch."""
        return {
            "use_cpu": self.gpus == 0,
            "bf16": self.bf16,
            "activation_checkpointing": False,
            "dataloader_pin_memory": self.gpus > 0,
        }

    @property
    def loading_arguments(self) -> dict[str, Any]:
        """For from_pretrained. A model is spread over several GPUs, since one process trains."""
        spread = {"device_map": "auto"} if self.gpus > 1 else {}
        return {"dtype": self.weights, **spread}


def prepare_environment() -> None:
    """Has to run before PyTorch is imported. Values that are already set stay."""
    # Spinning OpenMP threads slow each other down up to 7 times where the cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # The job runs without network: nothing may try to reach a hub or report home.
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def detect() -> Device:
    """Look at what PyTorch sees. bf16 needs Ampere or later; older GPUs and CPUs compute in fp32."""
    import torch

    gpus = torch.cuda.device_count()
    bf16 = gpus > 0 and torch.cuda.is_bf16_supported(including_emulation=False)
    return Device(gpus, bf16, "bfloat16" if bf16 else "float32")


def avoid_triton() -> None:
    """TRL's Triton kernels need a C compiler at run time, which the image leaves out: without one, choose PyTorch."""
    if os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"):
        return
    from trl.kernels import chunked_logprob

    chunked_logprob._TRITON_AVAILABLE = False
