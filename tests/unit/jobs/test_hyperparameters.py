import pytest

from luthier.errors import InvalidRequest
from luthier.jobs.hyperparameters import HYPERPARAMETERS, resolve, to_wire


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


@pytest.mark.parametrize("row", HYPERPARAMETERS, ids=lambda row: row.wire)
def test_every_range_is_enforced_at_both_ends(row) -> None:  # type: ignore[no-untyped-def]
    for value in (row.minimum - 1, row.maximum + 1):
        with pytest.raises(InvalidRequest) as refused:
            resolve({row.wire: value}, longest=10**9)
        assert refused.value.param == f"hyperparameters.{row.wire}"


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
