"""What an organization used: one row per day, kind of work and model. Pure: standard library only."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

INFERENCE, PROCESSING, TRAINING = "inference", "processing", "training"

MICROCENTS = 1_000_000


@dataclass(frozen=True)
class Use:
    """Amounts of one day, or of more. requests: answers of models, attempts of jobs; microcents: of a cent's millionth,
    so that prices per token add up exactly."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    billed_seconds: int = 0
    microcents: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})


@dataclass(frozen=True)
class Row:
    """`day` is a UTC date. What a summary does not tell apart is None."""

    day: str | None
    kind: str | None
    model: str | None
    use: Use


@dataclass(frozen=True)
class Summary:
    """What was used from one UTC day to before another, told apart by the names in `by`."""

    first: str
    end: str
    by: tuple[str, ...]
    rows: list[Row]


def grouped(rows: Iterable[Row], by: Iterable[str]) -> list[Row]:
    """The rows summed up over everything but the names in `by` (day, kind, model), in their order."""
    sums: dict[tuple[str | None, str | None, str | None], Use] = {}
    told = set(by)
    for row in rows:
        group = tuple(getattr(row, name) if name in told else None for name in ("day", "kind", "model"))
        sums[group] = sums.get(group, Use()) + row.use  # type: ignore[index, arg-type]
    return [Row(*group, use) for group, use in sorted(sums.items(), key=lambda item: [part or "" for part in item[0]])]
