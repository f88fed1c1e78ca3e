"""What "auto" becomes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.jobs import auto, hyperparameters
from luthier.jobs.hyperparameters import HYPERPARAMETERS, METHODS

AUTO = {row.wire: "auto" for row in HYPERPARAMETERS if row.auto}
EIGHT_BILLION, SEVENTY_BILLION = 8_030_261_248, 70_553_706_496


def resolved(
    *, method: str = "sft", parameters: int = EIGHT_BILLION, rows: int = 1_000, tokens: int = 300_000, adapter="lora"
) -> dict:
    given = {name: value for name, value in AUTO.items() if adapter != "full" or name != "loraRank"}
    asked = hyperparameters.resolve(given | {"adapter": adapter}, longest=8192, method=method)
    return auto.resolve(asked, method=method, parameters=parameters, rows=rows, tokens=tokens)


def test_a_thousand_rows_on_eight_billion_parameters_get_the_published_values() -> None:
    found = resolved()
    named = ("epochs", "learning_rate", "batch_size", "lora_rank", "lora_alpha", "validation_share")
    assert {name: found[name] for name in named} == {
        "epochs": 3,
        "learning_rate": 2e-4,
        "batch_size": 4,
        "lora_rank": 16,
        "lora_alpha": 32,
        "validation_share": 0.1,
    }


@pytest.mark.parametrize(("rows", "epochs"), [(1, 25), (10, 10), (34, 3), (8_333, 3), (12_500, 2), (10**6, 1)])
def test_epochs_bring_the_run_between_a_hundred_and_twenty_five_thousand_rows(rows: int, epochs: int) -> None:
    assert resolved(rows=rows)["epochs"] == epochs


@pytest.mark.parametrize(("rows", "size"), [(3, 1), (20, 2), (100, 4), (10_000, 16), (10**6, 64)])
def test_a_batch_grows_with_the_rows_up_to_what_an_adapter_bears(rows: int, size: int) -> None:
    assert resolved(rows=rows)["batch_size"] == size


def test_larger_models_learn_more_slowly() -> None:
    rates = [resolved(parameters=size)["learning_rate"] for size in (10**9, EIGHT_BILLION, SEVENTY_BILLION)]
    assert rates == [3e-4, 2e-4, 1e-4]


@pytest.mark.parametrize(("method", "rate"), [("dpo", 5e-6), ("kto", 5e-6), ("orpo", 8e-5)])
def test_each_preference_method_has_a_rate_of_its_own_and_one_pass(method: str, rate: float) -> None:
    found = resolved(method=method)
    assert (found["learning_rate"], found["epochs"], found["batch_size"], found["lora_rank"]) == (rate, 1, 16, 16)


@pytest.mark.parametrize("method", METHODS)
def test_full_weights_get_a_tenth_of_an_adapters_rate(method: str) -> None:
    full, lora = resolved(method=method, adapter="full"), resolved(method=method)
    assert full["learning_rate"] == pytest.approx(lora["learning_rate"] / 10)


def test_a_dataset_that_an_adapter_cannot_hold_gets_a_higher_rank() -> None:
    ranks = [resolved(tokens=tokens)["lora_rank"] for tokens in (10**6, 150 * 10**6, 10**10)]
    assert ranks == [16, 32, 128]


@pytest.mark.parametrize(("rows", "share"), [(49, 0.0), (50, 0.1), (10_000, 0.1), (100_000, 0.01)])
def test_a_tenth_is_held_out_but_at_most_a_thousand_rows(rows: int, share: float) -> None:
    assert resolved(rows=rows)["validation_share"] == share


@given(st.sampled_from(METHODS), st.integers(1, 10**12), st.integers(1, 10**9), st.integers(0, 10**12), st.booleans())
def test_whatever_the_model_and_the_dataset_every_value_is_one_that_a_user_could_send(
    method: str, parameters: int, rows: int, tokens: int, full: bool
) -> None:
    adapter = "full" if full else "lora"
    found = resolved(method=method, parameters=parameters, rows=rows, tokens=tokens, adapter=adapter)
    assert auto.named(found) == []
    assert hyperparameters.resolve(hyperparameters.to_wire(found), longest=8192, method=method) == found


def test_what_is_given_stays() -> None:
    asked = hyperparameters.resolve({"epochs": 7, "learningRate": "auto"}, longest=8192)
    assert auto.named(asked) == ["learning_rate", "validation_share"]
    found = auto.resolve(asked, method="sft", parameters=10**9, rows=10, tokens=100)
    assert (found["epochs"], found["batch_size"], found["lora_rank"]) == (7, 8, 16)
