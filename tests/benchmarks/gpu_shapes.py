"""What is trained in the GPU benchmark: models by their published shapes, rows of random tokens, and their cost."""

import random
from dataclasses import dataclass
from typing import Any

RANK = 16
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FIRST_ORDINARY_TOKEN = 10
# Dense bf16 of an H100 or H200 SXM, NVIDIA's data sheet.
PEAK_TFLOPS = 989.0


@dataclass(frozen=True)
class Shape:
    """A Llama. `longest`: tokens of a full row; `mu`, `sigma`, `shortest`: of the log-normal mix up to `longest`."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    tie_word_embeddings: bool
    longest: int = 4096
    shortest: int = 16
    mu: float = 5.6
    sigma: float = 0.9
    mixed_rows: int = 4096

    def config(self) -> Any:
        from transformers import LlamaConfig

        own = ("longest", "shortest", "mu", "sigma", "mixed_rows")
        fields = {name: value for name, value in vars(self).items() if name not in own}
        rope = {
            "rope_type": "llama3",
            "rope_theta": 500_000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8_192,
        }
        tokens = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
        return LlamaConfig(**fields, **tokens, rope_parameters=rope, max_position_embeddings=131_072, use_cache=False)

    @property
    def frozen_parameters(self) -> int:
        """Those that are multiplied, P: of the linear layers and the head, without the embedding's lookup."""
        return (
            self.num_hidden_layers * sum(i * o for i, o in self._linear_layers()) + self.hidden_size * self.vocab_size
        )

    @property
    def lora_parameters(self) -> int:
        return self.num_hidden_layers * RANK * sum(i + o for i, o in self._linear_layers())

    def flops_per_token(self, mean_length: float) -> float:
        """Of one training step with LoRA: 4 P + 6 P_lora + 3 A.

        Forward 2 P and the gradients of activations 2 P, none of frozen weights; A = 2 L H d s̄ for causal attention
        forward and twice that backward, s̄ = Σ len² / Σ len. What checkpointing computes again is not counted.
        """
        attention = 2 * self.num_hidden_layers * self.num_attention_heads * self.head_dim * mean_length
        return 4 * self.frozen_parameters + 6 * self.lora_parameters + 3 * attention

    def _linear_layers(self) -> list[tuple[int, int]]:
        """Inputs and outputs, in the order of TARGETS."""
        size, heads = self.hidden_size, self.num_attention_heads * self.head_dim
        groups = self.num_key_value_heads * self.head_dim
        attention = [(size, heads), (size, groups), (size, groups), (heads, size)]
        return [*attention, *[(size, self.intermediate_size)] * 2, (self.intermediate_size, size)]


SHAPES = {
    "llama-3.1-8b": Shape(128_256, 4_096, 14_336, 32, 32, 8, 128, False),
    "llama-3.2-1b": Shape(128_256, 2_048, 8_192, 16, 32, 8, 64, True),
    "tiny": Shape(1_024, 64, 176, 2, 4, 2, 16, True, longest=128, shortest=4, mu=3.0, mixed_rows=64),
}


def rows(shape: Shape, lengths: str, count: int) -> list[list[int]]:
    """Random ordinary tokens, since a product with zeros is faster than one with numbers.

    lengths: "full" for `count` rows of the longest length, "lognormal" for the mix, whatever `count`.
    """
    dice = random.Random(7)
    drawn = [shape.longest] * count
    if lengths == "lognormal":
        drawn = [round(dice.lognormvariate(shape.mu, shape.sigma)) for _ in range(shape.mixed_rows)]
    drawn = [min(max(length, shape.shortest), shape.longest) for length in drawn]
    return [[dice.randrange(FIRST_ORDINARY_TOKEN, shape.vocab_size) for _ in range(length)] for length in drawn]


def mean_length(made: list[list[int]]) -> float:
    """s̄: how long the row of an average token is."""
    return sum(len(row) ** 2 for row in made) / sum(map(len, made))


def tokenizer() -> Any:
    """The trainers want one; no text is ever given to it."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = {"<s>": 0, "</s>": 1, "<pad>": 2, "<unk>": 3}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=core, **names)
