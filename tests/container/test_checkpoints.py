"""How often a run saves."""

import pytest

from trainer import callbacks


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.02, 1.0),  # saving costs 2 % of the time
        (2.0, 100.0),
        (10.0, 300.0),  # but no more than five minutes of work are at risk,
        (60.0, 600.0),  # unless saving them would cost more than a tenth of the time
    ],
)
def test_the_interval_follows_from_what_a_checkpoint_costs(seconds: float, expected: float) -> None:
    assert callbacks.interval(seconds) == pytest.approx(expected)
