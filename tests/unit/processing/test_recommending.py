"""What is told of a comparison's numbers."""

import pytest

from luthier.processing.measures import Value, within_noise
from luthier.processing.recommending import Column, recommend

ROWS = {"a": "rows", "b": "rows", "c": "rows"}


def column(name: str = "accuracy", lower: bool = False, family: str = "own", **values: float) -> Column:
    return Column(name, {model: Value(value) for model, value in values.items()}, lower, family, on_held_out=True)


def test_lower_is_better_where_it_is() -> None:
    assert column(a=1, b=2).best == "b"
    assert column(lower=True, a=1, b=2).best == "a"
    assert column().best is None


def test_those_that_are_alike_share_their_rank() -> None:
    assert [column(a=3, b=1, c=3).rank(model) for model in "abc"] == [1.5, 3, 1.5]


def test_the_best_overall_has_the_best_mean_rank() -> None:
    columns = [column("accuracy", a=0.9, b=0.8), column("f1_score", a=0.9, b=0.8), column("bleu_score", a=0.1, b=0.2)]
    assert recommend(columns, ROWS) == [
        "a shows best overall performance: best in 2 of 3 measures",
        "Consider b where this matters most: bleu_score (0.2 against 0.1)",
    ]


def test_what_says_the_same_twice_counts_once() -> None:
    columns = [
        column("perplexity", True, "likelihood", a=10, b=12),
        column("loss", True, "likelihood", a=2.3, b=2.5),
        column("accuracy", a=0.1, b=0.9),
    ]
    assert recommend(columns, ROWS) == ["a and b perform alike overall"]


def test_a_measure_that_some_lack_does_not_decide_who_is_best() -> None:
    columns = [column("accuracy", a=0.9, b=0.8, c=0.7), column("f1_score", b=0.9, c=0.1)]
    assert recommend(columns, ROWS)[0] == "a shows best overall performance: best in accuracy"


def test_what_was_judged_on_other_rows_decides_nothing() -> None:
    told = recommend([column(a=0.9, b=0.8), Column("gsm8k", {"a": Value(0.2), "b": Value(0.6)})], ROWS | {"b": "other"})
    assert "not judged on the same held-out rows" in told[0]
    assert told[1:] == ["b shows best overall performance: best in gsm8k"]


def test_nothing_is_told_of_one_model() -> None:
    assert recommend([column(a=1)], ROWS) == []


def test_the_loss_of_the_training_decides_nothing() -> None:
    assert recommend([column("training_loss", True, "", a=1, b=2)], ROWS) == []


def test_rivals_within_noise_are_no_rivals() -> None:
    close = Column("exact_match", {"a": Value(0.80, 0.05), "b": Value(0.82, 0.05)}, on_held_out=True)
    clear = [column("f1_score", a=0.9, b=0.5), column("bleu_score", a=0.9, b=0.5)]
    assert recommend([close, *clear], ROWS) == [
        "a shows best overall performance: best in 2 of 3 measures",
        "The difference in exact_match between b and a (0.82 against 0.8) is within noise",
    ]


def test_noise_does_not_outvote_a_clear_difference() -> None:
    noisy = [
        Column(name, {"a": Value(0.80, 0.05), "b": Value(0.82, 0.05)}, on_held_out=True) for name in ("exact", "f1")
    ]
    assert [noisy[0].rank(model) for model in "ab"] == [1.5, 1.5]
    found = recommend([*noisy, column("loss", True, "likelihood", a=1.0, b=1.5)], ROWS)
    assert found[0] == "a shows best overall performance: best in 1 of 3 measures"


@pytest.mark.parametrize(
    ("one", "other", "noise"),
    [
        (Value(0.5, 0.05), Value(0.6, 0.05), True),
        (Value(0.5, 0.05), Value(0.7, 0.05), False),
        (Value(0.5), Value(0.5001), False),
    ],
)
def test_noise_is_less_than_twice_the_standard_error(one: Value, other: Value, noise: bool) -> None:
    assert within_noise(one, other) is noise


def test_models_of_other_rows_are_named() -> None:
    [told, *_] = recommend([column(a=1, b=2, c=3)], {"a": "x", "b": "x", "c": "y"})
    assert told.startswith("a, b and c were not judged on the same held-out rows")


def test_benchmarks_compare_whatever_the_rows_were() -> None:
    benchmark = Column("hellaswag", {"a": Value(80), "b": Value(70)})
    assert recommend([benchmark], {"a": "x", "b": "y"}) == ["a shows best overall performance: best in hellaswag"]
