"""Time and cost of a run, from its tokens.

    tokens   = examples * sequences per example * tokens per sequence * epochs
    FLOPs    = tokens * (4 P + 6 P_lora + 3 A): forward and backward through the frozen weights P (2 P each), the
               adapter's three passes (2 P_lora each), causal attention with forward A = 2 * layers * hidden * length;
               full weights: tokens * (6 P + 3 A); each pass without gradient that a method adds: tokens * (2 P + A)
    seconds  = start-up + FLOPs / (peak of all GPUs * utilization)
    cost     = seconds * price of the whole instance

The FLOP count is the usual one for a frozen base with adapters (as in NeMo AutoModel's benchmark recipe); recomputed
activations are not counted, they lower the utilization. dpo and orpo process the prompt twice, with the chosen and
with the rejected answer; the reference model adds a forward pass in dpo (Rafailov et al. 2023), and in kto, whose KL
term needs both models on mismatched answers too, three (Ethayarajh et al. 2024, section 4). Weights in 4 bits are
unpacked for every product, which took 39 % more time in "Practical Tips for Finetuning LLMs Using LoRA" (Raschka
2023). Finished jobs replace the formula by their measured speed.
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
# A preference row holds prompt, chosen and rejected; taken as equally long, each of its two sequences is 2/3 of it.
_PAIRS = ("dpo", "orpo")
_PART_OF_PAIR = 2 / 3
_PASSES_WITHOUT_GRADIENT = {"dpo": 1, "kto": 3}
_UNPACKING = 1.39


def estimate(
    base_model: BaseModel,
    hardware: Hardware,
    *,
    method: str = "sft",
    adapter: str = "lora",
    examples: int,
    tokens_per_example: float | None,
    epochs: int,
    lora_rank: int,
    calibration: float | None,
) -> Estimate:
    """The estimate of one run; `calibration` is a measured speed in tokens per second."""
    sequences = 2 if method in _PAIRS else 1
    measured = tokens_per_example and tokens_per_example * (_PART_OF_PAIR if sequences == 2 else 1)
    length = min(measured or ASSUMED_TOKENS_PER_EXAMPLE, base_model.max_sequence_length)
    tokens = round(examples * sequences * length * epochs)
    needed = flops_per_token(base_model, length, lora_rank, method=method, adapter=adapter)
    slower = _UNPACKING if adapter == "qlora" else 1
    tokens_per_second = calibration or hardware.flops / needed / slower
    startup = startup_seconds(base_model)
    seconds = round(startup + tokens / tokens_per_second)
    return Estimate(
        cost=round(seconds / 3600 * hardware.cost_per_hour, 2),
        seconds=seconds,
        tokens=tokens,
        currency=hardware.currency,
        hardware=hardware,
        basis={
            "method": method,
            "adapter": adapter,
            "tokens_per_example": round(sequences * length, 1),
            "tokens_per_example_source": "dataset" if tokens_per_example else "assumed",
            "epochs": epochs,
            "lora_rank": lora_rank,
            "flops_per_token": round(needed),
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


def flops_per_token(
    base_model: BaseModel, length: float, rank: int, *, method: str = "sft", adapter: str = "lora"
) -> float:
    """Training FLOPs per token of `length`-token sequences, adapters of `rank` on every linear layer."""
    weights = base_model.active_parameters
    attention = 2 * base_model.layers * base_model.hidden_size * length
    adapted = _ADAPTED_WIDTHS * rank * base_model.layers * base_model.hidden_size
    trained = 6 * weights if adapter == "full" else 4 * weights + 6 * adapted
    return trained + 3 * attention + _PASSES_WITHOUT_GRADIENT.get(method, 0) * (2 * weights + attention)
