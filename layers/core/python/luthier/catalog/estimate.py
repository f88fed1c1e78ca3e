"""Time and cost of a run, from its tokens.

    tokens   = examples * tokens per example * epochs
    FLOPs    = tokens * (4 P + 6 P_lora + 3 A): forward and backward through the frozen weights P (2 P each), the
               adapter's three passes (2 P_lora each), causal attention with forward A = 2 * layers * hidden * length
    seconds  = start-up + FLOPs / (peak of all GPUs * utilization)
    cost     = seconds * price of the whole instance

The FLOP count is the usual one for a frozen base with adapters (as in NeMo AutoModel's benchmark recipe); recomputed
activations are not counted, they lower the utilization. Finished jobs replace the formula by their measured speed.
"""

from luthier.catalog.entity import BaseModel, Estimate, Hardware

# A chat turn or two; stated in the basis of every estimate that has no dataset to measure.
ASSUMED_TOKENS_PER_EXAMPLE = 256
ASSUMED_LORA_RANK = 16
# Instance and image; SageMaker bills from the download on, which this includes.
STARTUP_SECONDS = 180
# What SageMaker's File mode moves from S3 to the instance.
DOWNLOAD_BYTES_PER_SECOND = 170_000_000
_BYTES_PER_PARAMETER = 2
# Inputs plus outputs of a Llama block's seven linear layers, in hidden sizes: an adapter of rank r has r times as many.
_ADAPTED_WIDTHS = 20


def estimate(
    base_model: BaseModel,
    hardware: Hardware,
    *,
    examples: int,
    tokens_per_example: float | None,
    epochs: int,
    lora_rank: int,
    calibration: float | None,
) -> Estimate:
    """The estimate of one run; `calibration` is a measured speed in tokens per second."""
    length = min(tokens_per_example or ASSUMED_TOKENS_PER_EXAMPLE, base_model.max_sequence_length)
    tokens = round(examples * length * epochs)
    flops_per_token = lora_flops_per_token(base_model, length, lora_rank)
    tokens_per_second = calibration or hardware.flops / flops_per_token
    startup = startup_seconds(base_model)
    seconds = round(startup + tokens / tokens_per_second)
    return Estimate(
        cost=round(seconds / 3600 * hardware.cost_per_hour, 2),
        seconds=seconds,
        tokens=tokens,
        currency=hardware.currency,
        hardware=hardware,
        basis={
            "tokens_per_example": round(length, 1),
            "tokens_per_example_source": "dataset" if tokens_per_example else "assumed",
            "epochs": epochs,
            "lora_rank": lora_rank,
            "flops_per_token": round(flops_per_token),
            "tokens_per_second": round(tokens_per_second, 1),
            "tokens_per_second_source": "finished jobs" if calibration else "formula",
            "startup_seconds": round(startup),
            "cost_per_hour": hardware.cost_per_hour,
            "price_date": hardware.price_date,
            "price_source": hardware.price_source,
        },
    )


def startup_seconds(base_model: BaseModel) -> float:
    """Billed time before the first step: instance, image, weights."""
    return STARTUP_SECONDS + base_model.parameters * _BYTES_PER_PARAMETER / DOWNLOAD_BYTES_PER_SECOND


def lora_flops_per_token(base_model: BaseModel, length: float, rank: int) -> float:
    """Training FLOPs per token of `length`-token rows, adapters of `rank` on every linear layer."""
    adapter = _ADAPTED_WIDTHS * rank * base_model.layers * base_model.hidden_size
    attention = 2 * base_model.layers * base_model.hidden_size * length
    return 4 * base_model.active_parameters + 6 * adapter + 3 * attention


def required_memory_gb(base_model: BaseModel, *, on_gpu: bool) -> float:
    """Memory that LoRA training of a model needs: frozen weights, plus adapters, activations and runtime."""
    # bf16 on a GPU; fp32 on a CPU, where bf16 arithmetic is emulated and slow.
    width = 2 if on_gpu else 4
    return base_model.parameters * width * 1.1 / 1e9 + 4
