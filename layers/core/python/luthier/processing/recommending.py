"""What a comparison's numbers say, in sentences: who is best, who is better for what, what does not compare. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from luthier.processing.measures import Value, within_noise


@dataclass(frozen=True)
class Column:
    """One metric or benchmark over all models that have it, by model id. family: see Metric."""

    name: str
    values: Mapping[str, Value]
    lower: bool = False
    family: str = "own"
    on_held_out: bool = False

    @property
    def order(self) -> list[str]:
        """The models, best first; those that are alike in the order in which they were named."""
        sign = 1 if self.lower else -1
        return sorted(self.values, key=lambda model: sign * self.values[model].number)

    @property
    def best(self) -> str | None:
        numbers = {value.number for value in self.values.values()}
        return self.order[0] if len(numbers) > 1 or len(self.values) == 1 else None

    def rank(self, model: str) -> float:
        """1 for the best; those that are alike, or apart by no more than noise, share the places between them."""
        own, sign = self.values[model], 1 if self.lower else -1
        others = [value for name, value in self.values.items() if name != model]
        alike = [value for value in others if value.number == own.number or within_noise(value, own)]
        ahead = [value for value in others if value not in alike and sign * value.number < sign * own.number]
        return 1 + len(ahead) + len(alike) / 2


def recommend(columns: list[Column], held_out: Mapping[str, str | None]) -> list[str]:
    """Sentences about the models. held_out: what each model's held-out rows are known by, where it has any."""
    compared = [column for column in columns if len(column.values) > 1]
    if warned := _incomparable(compared, held_out):
        compared = [column for column in compared if not column.on_held_out]
    return [*warned, *_overall(compared), *_noise(compared)]


def _incomparable(columns: list[Column], held_out: Mapping[str, str | None]) -> list[str]:
    measured = {model for column in columns if column.on_held_out for model in column.values}
    judged = {model: held_out[model] for model in held_out if model in measured}
    if len(judged) < 2 or (len(set(judged.values())) == 1 and None not in judged.values()):
        return []
    names = _listed(list(judged))
    return [
        f"{names} were not judged on the same held-out rows, so their metrics are not comparable; a benchmark judges "
        "them on the same."
    ]


def _overall(columns: list[Column]) -> list[str]:
    models = list(dict.fromkeys(model for column in columns for model in column.values))
    counted = _counted(columns, models)
    if not counted:
        return []
    mean = {model: fmean(column.rank(model) for column in counted) for model in models}
    first = min(mean.values())
    best = [model for model in models if mean[model] == first]
    if len(best) > 1:
        return [f"{_listed(best)} perform alike overall", *_trade_offs(columns, best)]
    wins = sum(column.best == best[0] for column in counted)
    told = f"best in {wins} of {len(counted)} measures" if len(counted) > 1 else f"best in {counted[0].name}"
    return [f"{best[0]} shows best overall performance: {told}", *_trade_offs(columns, best)]


def _counted(columns: list[Column], models: list[str]) -> list[Column]:
    """The measures that all models have, one of each family: others would count twice what is known once."""
    counted: dict[str, Column] = {}
    for column in columns:
        if column.family and len(column.values) == len(models):
            counted.setdefault(column.name if column.family == "own" else column.family, column)
    return list(counted.values())


def _trade_offs(columns: list[Column], best: list[str]) -> list[str]:
    """Who else to consider, each with the measures in which it is clearly ahead of the best."""
    ahead: dict[str, list[str]] = {}
    for column in columns:
        rival, against = column.best, [column.values[model] for model in best if model in column.values]
        if rival is None or rival in best or not against or not column.family:
            continue
        value, other = column.values[rival], against[0]
        if value.number != other.number and not within_noise(value, other):
            ahead.setdefault(rival, []).append(f"{column.name} ({value.number:g} against {other.number:g})")
    return [f"Consider {model} where this matters most: {_listed(told)}" for model, told in ahead.items()]


def _noise(columns: list[Column]) -> list[str]:
    return [
        f"The difference in {column.name} between {first} and {second} ({one.number:g} against {other.number:g}) is "
        "within noise"
        for column in columns
        for first, second in [column.order[:2]]
        for one, other in [(column.values[first], column.values[second])]
        if one.number != other.number and within_noise(one, other)
    ]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
