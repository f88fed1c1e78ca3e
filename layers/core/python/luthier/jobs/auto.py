"""What "auto" means: each hyperparameter from the method, the base model and the dataset. Pure and deterministic.

A rule is a start that seldom needs a second run, not a search. Its source stands with it.
"""

from collections.abc import Mapping
from typing import Any

from luthier.jobs.hyperparameters import AUTO, HYPERPARAMETERS, PREFERENCE_METHODS, with_alpha

# Above this size published runs halve the learning rate (see _learning_rate).
_LARGE = 20_000_000_000


def resolve(
    hyperparameters: Mapping[str, Any], *, method: str, parameters: int, rows: int, tokens: int
) -> dict[str, Any]:
    """The hyperparameters with a value in place of every "auto"; the others stay as they are.

    parameters: of the base model; rows, tokens: of the training file, one epoch, an estimate being enough.
    """
    adapter = hyperparameters.get("adapter", "lora")
    values = {
        "epochs": lambda: _epochs(method, rows),
        "learning_rate": lambda: _learning_rate(method, adapter, parameters),
        "batch_size": lambda: _batch_size(method, rows),
        "lora_rank": lambda: _rank(method, parameters, tokens),
        "validation_share": lambda: _validation_share(rows),
    }
    resolved = {name: values[name]() if value == AUTO else value for name, value in hyperparameters.items()}
    return with_alpha(resolved)


def named(hyperparameters: Mapping[str, Any]) -> list[str]:
    """The names whose value is "auto", in the order of the table."""
    return [row.name for row in HYPERPARAMETERS if hyperparameters.get(row.name) == AUTO]


def _epochs(method: str, rows: int) -> int:
    """Three passes, more over fewer than 34 rows (at most 25), fewer over more than 8,333 rows.

    Source: the defaults that OpenAI publishes for n_epochs (openai-cookbook, Chat_finetuning_data_prep: target 3
    epochs, 100 to 25,000 examples in all). Preference tuning overfits sooner: one pass, as in DPO (Rafailov et al.
    2023), Zephyr (Tunstall et al. 2023) and TRL's dpo and kto scripts, and as many as make 100 rows.
    """
    target = 1 if method in PREFERENCE_METHODS else 3
    if rows * target < 100:
        return min(25, max(target, 100 // max(1, rows)))
    return max(1, min(target, 25_000 // rows))


def _batch_size(method: str, rows: int) -> int:
    """0.2 % of the rows as a power of two, from 4 to 64; from 16 for preferences.

    Source: OpenAI's published default for batch_size (about 0.2 % of the examples), bounded above because LoRA loses
    more than full fine-tuning with large batches ("LoRA Without Regret", Thinking Machines 2025). TRL advises an
    effective batch of 16 to 128 for KTO; DPO's paper uses 64. Never more than an eighth of the rows, so that an epoch
    has steps to learn from; at least two for KTO, which compares the answers of a batch.
    """
    least = 16 if method in PREFERENCE_METHODS else 4
    wanted = min(64, max(least, _power_of_two(rows * 0.002)))
    return max(2 if method == "kto" else 1, min(wanted, _power_of_two(rows / 8)))


def _learning_rate(method: str, adapter: str, parameters: int) -> float:
    """Peak rate of an adapter by method and size; a tenth of it for full weights.

    Sources, for LoRA: sft 2e-4 up to 13B and 1e-4 from 33B on (QLoRA, Dettmers et al. 2023, table 9; the best rate in
    "LoRA Learns Less and Forgets Less", Biderman et al. 2024, is 2e-4 too), 3e-4 below 3B ("LoRA Without Regret":
    5e-4 * (2000 / hidden size)^0.78). dpo 5e-6 (TRL's dpo script with LoRA; alignment-handbook's QLoRA recipe). kto
    5e-6 (upper end of TRL's advice of 5e-7 to 5e-6 at beta 0.1). orpo 8e-5 (ten times the 8e-6 of Hong et al. 2024).
    The best rate of LoRA is about ten times that of full weights at every size ("LoRA Without Regret").
    """
    large = parameters > _LARGE
    if method == "sft":
        rate = 1e-4 if large else 3e-4 if parameters < 3_000_000_000 else 2e-4
    else:
        rate = {"dpo": 5e-6, "kto": 5e-6, "orpo": 8e-5}[method] / (2 if large else 1)
    return float(f"{rate / 10:.3g}") if adapter == "full" else rate


def _rank(method: str, parameters: int, tokens: int) -> int:
    """The smallest power of two from 16 to 128 whose adapter can hold the dataset; 16 for preferences.

    Source: "LoRA Without Regret": a model stores about two bits per parameter and text brings about one bit per token,
    so an adapter wants half as many parameters as there are tokens; preferences bring a few bits per row. 16 is
    what "LoRA Learns Less and Forgets Less" finds enough for instruction tuning.
    """
    if method in PREFERENCE_METHODS:
        return 16
    rank = 16
    while rank < 128 and rank * _parameters_per_rank(parameters) < tokens / 2:
        rank *= 2
    return rank


def _parameters_per_rank(parameters: int) -> float:
    """Adapter parameters of rank 1 on every linear layer: 20 * hidden * layers of a Llama shape of this size.

    From parameters = 12 * hidden^2 * layers and hidden = 128 * layers, which holds for Llama 1B to 70B within 30 %.
    """
    layers = (parameters / (12 * 128**2)) ** (1 / 3)
    return 20 * 128 * layers**2


def _validation_share(rows: int) -> float:
    """Nothing below 50 rows, else a tenth, at most 1,000 rows: enough for a loss that tells two runs apart."""
    return 0.0 if rows < 50 else round(min(0.1, 1_000 / rows), 6)


def _power_of_two(number: float) -> int:
    """The largest power of two that is not above the number; 1 below 2."""
    return 1 << max(0, int(number).bit_length() - 1)
