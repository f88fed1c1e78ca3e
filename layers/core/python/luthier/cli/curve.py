"""A curve of numbers in a terminal, in blocks."""

from collections.abc import Sequence
from statistics import fmean

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def curve(values: Sequence[float], *, width: int = 60, height: int = 6) -> list[str]:
    """Rows of text, the highest first, each with the value of its upper edge; each column is the mean of its values."""
    columns = _means(values, width)
    if not columns:
        return []
    low, high = min(columns), max(columns)
    span = high - low or 1.0
    # The lowest value stands on one eighth, so that no column is empty.
    levels = [1 + round((value - low) / span * (8 * height - 1)) for value in columns]
    return [
        f"{low + span * (row + 1) / height if high > low else high:>9.4f} │"
        + "".join(_EIGHTHS[min(max(level - 8 * row, 0), 8)] for level in levels)
        for row in reversed(range(height))
    ]


def _means(values: Sequence[float], width: int) -> list[float]:
    count = min(width, len(values))
    return [fmean(values[i * len(values) // count : (i + 1) * len(values) // count]) for i in range(count)]
