"""What the machine offers, and the settings that follow from it."""

import os
import shutil
from dataclasses import dataclass
from typing import Any

from trainer import distribution

AUTO = "auto"
PLACES = (AUTO, "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Device:
    """What one process trains on.

    gpus: visible ones; bf16: whether they compute in it; weights: type of the base weights ("float32", …);
    memory_bytes: free on the process's GPU, or on the machine.
    """

    gpus: int
    bf16: bool
    weights: str
    memory_bytes: int

    @property
    def training_arguments(self) -> dict[str, Any]:
        return {
            "use_cpu": self.gpus == 0,
            "bf16": self.bf16,
            "dataloader_pin_memory": self.gpus > 0,
            "ddp_backend": "gloo" if self.gpus == 0 and distribution.world_size() > 1 else None,
        }


def prepare_environment() -> None:
    """Has to run before PyTorch is imported. Values that are already set stay."""
    # Spinning OpenMP threads slow each other down up to 7 times where the cores are shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # The job runs without network: nothing may try to reach a hub or report home.
    for name in ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(name, "1")
    for name in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")


def detect() -> Device:
    """Look at what PyTorch sees. bf16 needs Ampere or later; older GPUs and CPUs compute in fp32."""
    import torch

    gpus = torch.cuda.device_count()
    if not gpus:
        import psutil

        # Processes beside each other share the machine.
        return Device(0, False, "float32", psutil.virtual_memory().available // distribution.processes_here())
    torch.cuda.set_device(distribution.local_rank())
    bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return Device(gpus, bf16, "bfloat16" if bf16 else "float32", torch.cuda.mem_get_info()[0])


def serving(place: str) -> tuple[str, str]:
    """Where a served model goes and the type of its weights, for one of PLACES.

    Raises ValueError for a device that is not there.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    chosen = next(name for name, found in there.items() if found) if place == AUTO else place
    if not there[chosen]:
        raise ValueError(f"PyTorch sees no {chosen} device on this machine; choose cpu or auto.")
    return chosen, detect().weights if chosen == "cuda" else "float32"


def has_compiler() -> bool:
    """Whether there is the C compiler that Triton's kernels need at run time. The image has one."""
    return bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))


def avoid_triton() -> None:
    """Choose PyTorch instead of TRL's Triton kernels where they cannot be compiled."""
    if has_compiler():
        return
    from trl.kernels import chunked_logprob

    chunked_logprob._TRITON_AVAILABLE = False
