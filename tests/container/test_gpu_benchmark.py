"""The benchmark for one GPU, run small on a CPU: it must work on the day that a GPU is there."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarks import gpu_lora, gpu_run, gpu_shapes, gpu_variants
from tests.container.conftest import REPOSITORY
from trainer import attention, padding_free

TINY = ["--shape", "tiny", "--lengths", "lognormal", "--warm-up", "1", "--steps", "2"]


def test_variants_run_and_pass_the_gate(tmp_path: Path) -> None:
    given = gpu_lora.parse([*TINY, "--folder", str(tmp_path)])
    reference, theirs, ours = (gpu_run.run(name, given) for name in ("reference", "trl_default", "ours"))
    assert reference["loss"] == pytest.approx(math.log(1024), rel=0.1)
    for result in (theirs, ours):
        assert gpu_lora.passes(result, 0.999)
        assert result["tokens_per_second"] > 0


def test_a_variant_that_trains_otherwise_fails_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = gpu_lora.parse([*TINY, "--folder", str(tmp_path)])
    gpu_run.run("reference", given)
    # Rows that see each other, which is what packing without care does.
    monkeypatch.setattr(padding_free, "keeps_rows_apart", lambda model: True)
    monkeypatch.setattr(attention, "attention", mixing)
    assert not gpu_lora.passes(gpu_run.run("ours", given), 0.999)


def mixing(module: Any, *states: Any, **_: Any) -> tuple[Any, None]:
    result = torch.nn.functional.scaled_dot_product_attention(*states[:3], is_causal=True, enable_gqa=True)
    return result.transpose(1, 2), None


def test_the_command_tells_what_is_not_installed() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.gpu_lora", *TINY, "--json", "--variants", "unsloth_default"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"] == {"unsloth_default": {"error": "unsloth is not installed"}}


@pytest.mark.parametrize(
    ("loss_difference", "gradient_cosine", "expected"),
    [(4e-3, 0.9995, True), (6e-3, 1.0, False), (0.0, 0.998, False), (float("nan"), 1.0, False)],
)
def test_the_gate_refuses_another_loss_or_gradient(
    loss_difference: float, gradient_cosine: float, expected: bool
) -> None:
    result: dict[str, Any] = {"loss_difference": loss_difference, "gradient_cosine": gradient_cosine}
    assert gpu_lora.passes(result, 0.999) == expected


# https://arxiv.org/abs/2407.21783 table 3; 8.03 billion parameters without the embedding's 0.53.
def test_the_cost_of_a_token_counts_the_parameters_of_the_published_model() -> None:
    shape = gpu_shapes.SHAPES["llama-3.1-8b"]
    assert shape.frozen_parameters == pytest.approx(7.505e9, rel=1e-3)
    assert shape.lora_parameters == pytest.approx(41.9e6, rel=1e-2)
    assert shape.flops_per_token(4096) == pytest.approx(33.5e9, rel=1e-2)


def test_the_shape_is_the_config_that_is_built() -> None:
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    shape = gpu_shapes.SHAPES["tiny"]
    model = get_peft_model(AutoModelForCausalLM.from_config(shape.config()), gpu_variants.lora())
    matrices = [parameter for parameter in model.parameters() if parameter.ndim == 2]
    assert sum(matrix.numel() for matrix in matrices if matrix.requires_grad) == shape.lora_parameters
    assert sum(matrix.numel() for matrix in matrices if not matrix.requires_grad) == shape.frozen_parameters


def test_rows_have_the_lengths_of_the_workload() -> None:
    shape = gpu_shapes.SHAPES["tiny"]
    mixed = gpu_shapes.rows(shape, "lognormal", 4)
    assert len(mixed) == shape.mixed_rows
    assert {len(row) for row in gpu_shapes.rows(shape, "full", 4)} == {shape.longest}
    assert shape.shortest <= min(map(len, mixed)) < max(map(len, mixed)) <= shape.longest
    assert gpu_shapes.mean_length(mixed) > sum(map(len, mixed)) / len(mixed)
