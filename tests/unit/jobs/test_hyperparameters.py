import math

import pytest

from luthier.errors import InvalidRequest
from luthier.jobs.hyperparameters import HYPERPARAMETERS, Hyperparameter, resolve, to_wire


def test_what_is_not_given_has_a_default() -> None:
    resolved = resolve({}, longest=8192)
    assert (resolved["epochs"], resolved["learning_rate"], resolved["batch_size"]) == (3, 2e-4, 8)
    assert resolved["lora_alpha"] == 2 * resolved["lora_rank"]


def test_the_default_length_never_exceeds_the_model() -> None:
    assert resolve({}, longest=512)["max_sequence_length"] == 512


def test_a_misspelt_name_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(InvalidRequest) as refused:
        resolve({"learningrate": 1e-4}, longest=8192)
    assert refused.value.param == "hyperparameters.learningrate"
    assert "learningRate" in (refused.value.remedy or "")


@pytest.mark.parametrize("row", [row for row in HYPERPARAMETERS if row.minimum is not None], ids=lambda row: row.wire)
def test_every_range_is_enforced_at_both_ends(row: Hyperparameter) -> None:
    assert row.minimum is not None
    assert row.maximum is not None
    for value in (row.minimum - 1, row.maximum + 1, math.nan, math.inf):
        with pytest.raises(InvalidRequest) as refused:
            resolve({row.wire: value}, longest=10**9, method=row.methods[0])
        assert refused.value.param == f"hyperparameters.{row.wire}"


@pytest.mark.parametrize("row", HYPERPARAMETERS, ids=lambda row: row.wire)
def test_every_default_is_a_value_of_its_row(row: Hyperparameter) -> None:
    for method in row.methods:
        default = row.default_for(method)
        given = {} if default is None else {row.wire: default}
        resolved = resolve(given, longest=10**9, method=method)
        assert default is None or resolved[row.name] == default


@pytest.mark.parametrize("row", HYPERPARAMETERS, ids=lambda row: row.wire)
@pytest.mark.parametrize("value", [{}, [], [1], "?"], ids=str)
def test_a_value_of_another_kind_is_refused(row: Hyperparameter, value: object) -> None:
    with pytest.raises(InvalidRequest) as refused:
        resolve({row.wire: value}, longest=8192, method=row.methods[0])
    assert refused.value.param == f"hyperparameters.{row.wire}"


def test_auto_is_a_value_only_where_a_rule_resolves_it() -> None:
    rows = [row for row in HYPERPARAMETERS if row.auto]
    assert [row.name for row in rows] == ["epochs", "learning_rate", "batch_size", "lora_rank", "validation_share"]
    resolved = resolve({row.wire: "auto" for row in rows}, longest=8192)
    assert {resolved[row.name] for row in rows} == {"auto"}
    assert resolved["lora_alpha"] is None
    with pytest.raises(InvalidRequest, match="seed"):
        resolve({"seed": "auto"}, longest=8192)


def test_a_misspelt_word_is_refused_with_the_nearest_known_one() -> None:
    for wire, value, near in (
        ("lrScheduler", "cosin", "cosine"),
        ("adapter", "QLoRA", "qlora"),
        ("targetModules", ["q_pro"], "q_proj"),
        ("targetModules", "all_linear", "all-linear"),
        ("loraRank", "Auto", "auto"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            resolve({wire: value}, longest=8192)
        assert refused.value.remedy == f"Did you mean {near!r}?"


@pytest.mark.parametrize("given", [{"lrScheduler": ["cosine"]}, {"targetModules": "q_proj"}])
def test_a_word_is_no_list_and_a_list_no_word(given: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        resolve(given, longest=8192)


def test_layers_that_the_serving_engine_takes_no_adapters_for_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="targetModules"):
        resolve({"targetModules": ["q_proj", "embed_tokens"]}, longest=8192)
    assert resolve({"targetModules": ["q_proj", "v_proj"]}, longest=8192)["target_modules"] == ["q_proj", "v_proj"]


def test_what_means_nothing_to_the_method_or_the_adapter_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="beta means nothing to the method 'sft'"):
        resolve({"beta": 0.2}, longest=8192)
    with pytest.raises(InvalidRequest, match="loraRank means nothing to the adapter 'full'"):
        resolve({"adapter": "full", "loraRank": 8}, longest=8192)
    assert resolve({"beta": 0.2}, longest=8192, method="kto")["beta"] == 0.2
    assert not {"beta", "lora_rank"} & resolve({"adapter": "full"}, longest=8192).keys()


def test_preferences_and_full_weights_get_a_learning_rate_of_their_own() -> None:
    assert resolve({}, longest=8192, method="dpo")["learning_rate"] == "auto"
    assert resolve({"adapter": "full"}, longest=8192)["learning_rate"] == "auto"
    assert resolve({"adapter": "full", "learningRate": 1e-5}, longest=8192)["learning_rate"] == 1e-5


@pytest.mark.parametrize("value", ["3", True, 2.5, [3]])
def test_epochs_must_be_a_whole_number(value: object) -> None:
    with pytest.raises(InvalidRequest, match="integer"):
        resolve({"epochs": value}, longest=8192)


def test_a_length_beyond_the_model_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="maxSequenceLength"):
        resolve({"maxSequenceLength": 9000}, longest=8192)


def test_wire_names_come_back_as_they_were_given() -> None:
    given = {"epochs": 2, "learningRate": 0.001, "batchSize": 4, "warmupSteps": 7}
    assert given.items() <= to_wire(resolve(given, longest=8192)).items()


def test_kto_is_refused_a_batch_that_has_nothing_to_compare() -> None:
    with pytest.raises(InvalidRequest, match="at least 2") as refused:
        resolve({"batchSize": 1}, longest=8192, method="kto")
    assert refused.value.param == "hyperparameters.batchSize"
    assert resolve({"batchSize": 1}, longest=8192, method="sft")["batch_size"] == 1
