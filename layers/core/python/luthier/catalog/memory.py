"""Memory that training a model takes. Pure.

    adapter   weights and what trains them, bytes per parameter         source
    lora      2 (bf16); 4 on a CPU, where bf16 is emulated and slow     the frozen weights alone
    qlora     0.6: 4-bit NF4 with doubly quantized constants            QLoRA, Dettmers et al. 2023, section 3: 0.516;
              and what stays in 16 bits: embeddings, head, norms        the rest from the models of the catalogue
    full      18: bf16 weights 2, fp32 weights 4, gradients 4, AdamW 8  ZeRO, Rajbhandari et al. 2020, section 3.1,
              16 on a CPU, which needs no second copy of the weights    with fp32 gradients

On top of the weights a tenth for fragmentation, a gigabyte for the runtime, and the activations of one micro-batch:
dpo, orpo and kto take two sequences where sft takes one. The reference model of dpo and kto is the same weights with
the adapter switched off; full weights need a frozen copy of it.
"""

from luthier.catalog.entity import BaseModel

_RUNTIME_GB = 1.0
_ACTIVATIONS_GB = 3.0
_PAIRED = ("dpo", "orpo", "kto")
_WITH_REFERENCE = ("dpo", "kto")
_OVERHEAD = 1.1
_ON_GPU = {"lora": 2.0, "qlora": 0.6, "full": 18.0}
_ON_CPU = {"lora": 4.0, "full": 16.0}


def required_gb(base_model: BaseModel, *, on_gpu: bool, method: str = "sft", adapter: str = "lora") -> float:
    """Gigabytes that a run needs at least. Raises KeyError for qlora without a GPU, whose kernels need one."""
    per_parameter = (_ON_GPU if on_gpu else _ON_CPU)[adapter]
    if adapter == "full" and method in _WITH_REFERENCE:
        per_parameter += _ON_GPU["lora"] if on_gpu else _ON_CPU["lora"]
    activations = _ACTIVATIONS_GB * (2 if method in _PAIRED else 1)
    return base_model.parameters * per_parameter * _OVERHEAD / 1e9 + _RUNTIME_GB + activations
