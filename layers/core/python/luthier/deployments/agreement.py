"""How well served answers agree with recorded ones, token by token, and what follows from that. Pure arithmetic.

All distances are differences of log-probabilities (natural logarithm), averaged over tokens. Two answers are compared
position by position up to and with the first differing token: behind it the models have read different texts.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Token = tuple[str, float]
Answer = Sequence[Token]

# What float32 on another machine, or in another batch, is off at most; records are rounded to six digits.
FLOOR = 1e-3
# Allowed where no base model stands beside the served one to measure the noise on. bfloat16 has 8 bits, so logits of
# about 20 are up to 0.06 off; twice that is a tenth.
WITHOUT_NOISE = 0.1
# More noise than this comes from another base model, not from rounding: probabilities are off by two thirds.
MOST_NOISE = 0.5
# Records of base and tuned model differ measurably where their gap exceeds what an average over as many tokens owes to
# chance: three standard deviations of a difference between two noisy distances.
_CERTAINTY = 8.0
# Of the recorded tokens, the part that must be seen, as a share of what is seen of the base model's.
_LEAST_SEEN = 0.25
_NOTHING = 1e-9


@dataclass(frozen=True)
class Served:
    """One token of a served answer; `top`: the likeliest tokens there, with their log-probabilities."""

    token: str
    logprob: float
    top: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Replay:
    """One prompt: the recorded answers of tuned and base model, and the served ones. None: there is none."""

    tuned: Answer
    base: Answer | None
    served: Sequence[Served]
    served_base: Sequence[Served] | None = None


def differences(record: Answer, served: Sequence[Served]) -> list[float]:
    """|difference| of each token that can be compared; what lies behind the last one is unseen.

    A recorded token that is not among the likeliest of the server counts with the least that it can be off.
    """
    found = []
    for (text, logprob), seen in zip(record, served, strict=False):
        if text == seen.token or not (_readable(text) or _readable(seen.token)):
            found.append(abs(seen.logprob - logprob))
            continue
        if _readable(text) and _readable(seen.token):
            known = [seen.logprob, *seen.top.values()]
            there = seen.top.get(text)
            found.append(max(0.0, logprob - _most_of_rest(known)) if there is None else abs(there - logprob))
        break
    return found


def gaps(tuned: Answer, base: Answer) -> list[float]:
    """The least by which the two models differ at each token that they can be compared at."""
    found = []
    for (text, logprob), (other, others) in zip(tuned, base, strict=False):
        if text == other:
            found.append(abs(logprob - others))
            continue
        found.append(max(0.0, logprob - _most_of_rest([others]), others - _most_of_rest([logprob])))
        break
    return found


def _most_of_rest(known: list[float]) -> float:
    """The greatest log-probability that a token can have which is not among the likeliest, whose are known."""
    rest = 1 - sum(map(math.exp, dict.fromkeys(known)))
    return min(*known, math.log(max(rest, _NOTHING)))


def _readable(text: str) -> bool:
    """Whether a token's text names it: parts of characters all look alike, and engines differ in how they show them."""
    return bool(text) and "\ufffd" not in text


@dataclass(frozen=True)
class Verdict:
    """`numbers` as a deployment shows them; `failed`: why it is not proven, None when it is."""

    numbers: dict[str, Any]
    failed: str | None


def judge(replays: Sequence[Replay]) -> Verdict:
    """Is an adapter applied at all, is it the right one, do the log-probabilities agree?"""
    measured = _measure(replays)
    failed = next((why for holds, why in _questions(measured) if not holds), None)
    verdict = "failed" if failed else "proven"
    shown = {name: round(value, 6) if isinstance(value, float) else value for name, value in measured.items()}
    return Verdict(shown | {"verdict": verdict}, failed)


def _measure(replays: Sequence[Replay]) -> dict[str, Any]:
    tuned = [differences(one.tuned, one.served) for one in replays]
    recorded = sum(len(one.tuned) for one in replays)
    bases = [(one.base, one.served_base) for one in replays if one.base and one.served_base is not None]
    off = [differences(record, served) for record, served in bases]
    noise = _mean(_flat(off))
    tokens = sum(map(len, tuned))
    to_tuned, to_base, changed = _sides(replays, tuned)
    usual = WITHOUT_NOISE / 2 if noise is None else max(noise, FLOOR / 2)
    apart = [gap for one in replays if one.base for gap in gaps(one.tuned, one.base) if gap > 0]
    return {
        "prompts": len(replays),
        "recorded": recorded,
        "tokens": tokens,
        "mean_difference": _mean(_flat(tuned)),
        "max_difference": max(_flat(tuned), default=None),
        "noise": noise,
        "tolerance": 2 * usual,
        "gap": _mean(apart),
        "distinguishable": bool(apart) and sum(apart) / math.sqrt(len(apart)) >= _CERTAINTY * usual,
        "changed_tokens": changed,
        "to_tuned": to_tuned,
        "to_base": to_base,
        "seen": tokens / recorded if recorded else 0.0,
        "base_seen": sum(map(len, off)) / total if (total := sum(len(record) for record, _ in bases)) else None,
    }


def _sides(replays: Sequence[Replay], tuned: list[list[float]]) -> tuple[float | None, float | None, int]:
    """Mean distance of the served answers to the tuned and to the base record, over the tokens where those differ."""
    sides = [
        (mine, others)
        for one, own in zip(replays, tuned, strict=True)
        if one.base
        for gap, mine, others in zip(gaps(one.tuned, one.base), own, differences(one.base, one.served), strict=False)
        if gap > 0
    ]
    return _mean([mine for mine, _ in sides]), _mean([others for _, others in sides]), len(sides)


def _questions(m: dict[str, Any]) -> Iterable[tuple[bool, str]]:
    """(whether it holds, what to say when it does not), in the order of what must hold first."""
    mean, tolerance, text = m["mean_difference"], m["tolerance"], {name: _shown(value) for name, value in m.items()}
    yield (
        m["noise"] is None or m["noise"] <= MOST_NOISE,
        f"Do the log-probabilities agree? Not even the base model's: they are {text['noise']} off on average, where "
        f"rounding explains {MOST_NOISE} at most.",
    )
    soon = (
        f"Do the log-probabilities agree? The answers leave the recorded ones too soon: of {text['recorded']} tokens "
        f"only {text['tokens']} can be compared."
    )
    yield m["tokens"] > 0, soon
    yield (
        not m["distinguishable"] or (m["to_tuned"] or 0) < (m["to_base"] or 0),
        f"Is the tuning applied at all? No: over the {text['changed_tokens']} tokens that it changes, the answers are "
        f"{text['to_base']} off the base model's and {text['to_tuned']} off the tuned model's.",
    )
    yield (
        not m["distinguishable"] or mean <= max(tolerance, m["gap"] / 2),
        f"Is it the right one? No: the answers are {text['mean_difference']} off the recorded ones on average, where "
        f"{text['tolerance']} is allowed and the base model is {text['gap']} off.",
    )
    yield (
        mean <= tolerance,
        f"Do the log-probabilities agree? No: they are {text['mean_difference']} off on average and "
        f"{text['max_difference']} at most, where {text['tolerance']} on average is allowed.",
    )
    yield m["seen"] >= _LEAST_SEEN * (_LEAST_SEEN if m["base_seen"] is None else m["base_seen"]), soon


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(lists: Iterable[Iterable[float]]) -> list[float]:
    return [value for inner in lists for value in inner]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
