"""How close an answer is to its reference."""

import json
import re
import string
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
# Besides wrong syntax: numbers beyond any exponent, and thousands of brackets.
_NO_JSON = (ValueError, ArithmeticError, RecursionError)


def exact_match(answer: str, reference: str) -> float:
    """1.0 if both are the same but for blanks around them, or the same JSON value; else 0.0."""
    if answer.strip() == reference.strip():
        return 1.0
    try:
        return float(_parse(answer) == _parse(reference))
    except _NO_JSON:
        return 0.0


def f1(answer: str, reference: str) -> float:
    """SQuAD's F1 of the words in both (Rajpurkar et al. 2016, https://arxiv.org/abs/1606.05250, section 6.1).

    As in version 2.0 of the official script, lower case without punctuation and articles; when one of the two has no
    word left, 1.0 if neither has, else 0.0. Words are what blanks separate, so it says little about Chinese or Thai.
    """
    given, wanted = _words(answer), _words(reference)
    if not given or not wanted:
        return float(given == wanted)
    shared = (Counter(given) & Counter(wanted)).total()
    if not shared:
        return 0.0
    precision, recall = shared / len(given), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def bleu(answers: Sequence[str], references: Sequence[str]) -> float:
    """BLEU of the corpus, 0 to 100, by sacreBLEU (Post 2018, https://aclanthology.org/W18-6319)."""
    from sacrebleu.metrics import BLEU

    # "force" keeps it from warning about what looks tokenized, as JSON does.
    return BLEU(force=True).corpus_score(list(answers), [list(references)]).score


def bleu_signature() -> str:
    """sacreBLEU's word for the settings behind `bleu`, without which two scores cannot be compared."""
    from sacrebleu.metrics import BLEU

    metric = BLEU()
    metric.corpus_score(["word"], [["word"]])
    return str(metric.get_signature())


def is_json(text: str) -> bool:
    """Whether it is a JSON object or array. A bare number or word is an answer in prose."""
    try:
        return isinstance(_parse(text), dict | list)
    except _NO_JSON:
        return False


def _parse(text: str) -> Any:
    return json.loads(text, parse_int=_number, parse_float=_number, parse_constant=_refuse_constant)


def _number(text: str) -> tuple[str, Decimal]:
    """1 and 1.0 are equal and long numbers exact, but none is equal to true, as Python's own 1 would be."""
    return "number", Decimal(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _words(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()
