"""What a run is expected to take."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.catalog import service as catalog
from luthier.catalog.entity import Estimate
from luthier.catalog.estimate import flops_per_token
from luthier.errors import InvalidRequest

MODELS = st.sampled_from([model.id for model in catalog.base_models()])


def price(model_id: str = "llama-3.1-8b", hardware: str | None = None, **changes: object) -> Estimate:
    model = catalog.find_base_model(model_id)
    row = catalog.choose_hardware(model, "sft", hardware)
    arguments = {"method": "sft", "examples": 50_000, "epochs": 3} | changes
    return catalog.estimate(model, row, **arguments)  # type: ignore[arg-type]


def test_the_documented_example_costs_tens_of_dollars_and_takes_hours() -> None:
    found = price()
    assert 5 < found.cost < 100
    assert 60 < found.seconds / 60 < 600
    assert found.currency == "USD"


def test_flops_per_token_agree_with_published_figures() -> None:
    """33.5 GFLOP per token for Llama 3.1 8B and 295 for 70B, rank 16, rows of 4,096 tokens, attention included."""
    small, large = catalog.find_base_model("llama-3.1-8b"), catalog.find_base_model("llama-3.1-70b")
    assert flops_per_token(small, 4096, 16) / 1e9 == pytest.approx(33.5, rel=0.02)
    assert flops_per_token(large, 4096, 16) / 1e9 == pytest.approx(295, rel=0.02)


def test_what_was_assumed_is_stated() -> None:
    basis = price().basis
    assert (basis["tokens_per_example"], basis["tokens_per_example_source"]) == (256, "assumed")
    assert basis["tokens_per_second_source"] == "formula"
    assert basis["price_date"]
    assert "SageMaker" in basis["price_source"]


def test_a_dataset_replaces_the_assumption() -> None:
    found = price(tokens_per_example=100.0, examples=1_000, epochs=2)
    assert found.tokens == 200_000
    assert found.basis["tokens_per_example_source"] == "dataset"


def test_rows_are_cut_at_the_models_longest_sequence() -> None:
    assert price(tokens_per_example=50_000.0, examples=10, epochs=1).tokens == 10 * 8192


def test_finished_jobs_replace_the_formula() -> None:
    found = price(calibration=10_000.0)
    assert found.seconds == pytest.approx(found.basis["startup_seconds"] + found.tokens / 10_000, abs=1)
    assert found.basis["tokens_per_second_source"] == "finished jobs"


def test_the_whole_instance_is_paid_from_the_start() -> None:
    found = price(examples=1, epochs=1)
    assert found.seconds >= found.basis["startup_seconds"] > 180
    assert found.cost == round(found.seconds / 3600 * 2.8, 2)


def test_the_cost_belongs_to_the_requested_hardware() -> None:
    fast = price(hardware="gpu-h100-80gb")
    assert fast.hardware.id == "gpu-h100-80gb"
    assert fast.seconds < price().seconds


def test_zero_examples_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="datasetSize must be at least 1"):
        price(examples=0)


@given(MODELS, st.integers(1, 10**7), st.integers(1, 20))
def test_more_examples_or_epochs_never_cost_less(model_id: str, examples: int, epochs: int) -> None:
    found = price(model_id, examples=examples, epochs=epochs)
    more = price(model_id, examples=examples + 1000, epochs=epochs + 1)
    assert more.tokens > found.tokens
    assert more.seconds >= found.seconds
    assert more.cost >= found.cost > 0


def test_an_estimate_can_be_shown() -> None:
    assert set(dataclasses.asdict(price())) == {"cost", "seconds", "tokens", "currency", "hardware", "basis"}


def test_methods_and_adapters_differ_by_their_passes_over_the_weights() -> None:
    """In weights per token: 4 for an adapter, 6 for full weights, 2 more for each pass of a reference model."""
    model = catalog.find_base_model("llama-3.1-8b")

    def passes(method: str, adapter: str) -> float:
        return flops_per_token(model, 1, 1, method=method, adapter=adapter) / model.active_parameters

    assert [passes(method, "lora") for method in ("sft", "orpo", "dpo", "kto")] == pytest.approx(
        [4, 4, 6, 10], rel=0.01
    )
    assert passes("sft", "full") == pytest.approx(6, rel=0.01)


def test_a_pair_of_answers_is_two_sequences() -> None:
    assert price(method="dpo", examples=100, epochs=1).tokens == 2 * 100 * 256
    measured = price(method="orpo", examples=100, epochs=1, tokens_per_example=300.0)
    assert measured.tokens == 100 * 400
    assert price(method="kto", examples=100, epochs=1, tokens_per_example=300.0).tokens == 100 * 300


def test_four_bit_weights_take_longer() -> None:
    seconds = [price(adapter=adapter).seconds - price().basis["startup_seconds"] for adapter in ("qlora", "lora")]
    assert seconds[0] / seconds[1] == pytest.approx(1.39, rel=0.01)
