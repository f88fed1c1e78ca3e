"""Where the numbers of a comparison stand."""

import math

import pytest

from luthier.errors import InvalidRequest
from luthier.processing.measures import METRICS, Measured, Value, named

TABLE = {"exact_match": 0.5, "f1": 0.7, "bleu": 40.0, "loss": 0.5, "token_accuracy": 0.9}
FULL = Measured(
    TABLE, {"answered": 100, "tokens": 400}, {"validation_loss": 0.6, "training_loss": 0.3, "perplexity": 2}
)


def value(measured: Measured, name: str) -> Value | None:
    return measured.value(METRICS[name])


def test_a_share_has_the_standard_error_of_its_count() -> None:
    assert value(FULL, "exact_match") == Value(0.5, 0.05)
    assert value(FULL, "accuracy") == value(FULL, "exact_match")


def test_bleu_is_told_from_0_to_1_as_the_page_has_it() -> None:
    assert value(FULL, "bleu_score") == Value(0.4)


def test_the_table_goes_before_the_card() -> None:
    assert value(FULL, "loss") == Value(0.5)
    assert value(Measured(card={"validation_loss": 0.6}), "loss") == Value(0.6)


def test_what_the_card_has_of_the_training_alone_is_not_of_held_out_rows() -> None:
    card = Measured(card={"validation_loss": None, "training_loss": 0.3, "perplexity": 1.4, "token_accuracy": 0.8})
    assert [value(card, name) for name in ("perplexity", "token_accuracy", "loss")] == [None, None, None]
    assert value(card, "training_loss") == Value(0.3)


def test_preferences_are_accurate_where_the_chosen_answer_is_likelier() -> None:
    pairs = Measured({"preference_accuracy": 0.9}, {"examples": 90})
    found = value(pairs, "accuracy")
    assert found is not None
    assert found.number == 0.9
    assert found.stderr == pytest.approx(math.sqrt(0.09 / 90))


def test_a_zero_is_a_number() -> None:
    assert value(Measured({"exact_match": 0.0}, {"answered": 10}), "accuracy") == Value(0.0, 0.0)


def test_metrics_are_found_by_name_each_once() -> None:
    assert [metric.name for metric in named(["loss", "accuracy", "loss"])] == ["loss", "accuracy"]
    with pytest.raises(InvalidRequest, match=r"metrics\[1\].*'acuracy'"):
        named(["loss", "acuracy"])


def test_lower_is_better_only_for_losses() -> None:
    assert {metric.name for metric in METRICS.values() if metric.lower} == {"loss", "perplexity", "training_loss"}
