"""Held-out prompts answered by both versions, and the answers beside the references."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from luthier.datasets.rows import Row
from trainer import split, templates
from trainer.evaluation import text_metrics
from trainer.evaluation.batches import batches
from trainer.evaluation.versions import Deadline, Versions
from trainer.generation import greedy_answers

# Of a text in a record: enough to read, and a bound for the file.
CHARACTERS_SHOWN = 4_000


@dataclass(frozen=True)
class Example:
    """A prompt with its tokens; `number` is the row's place among the held-out ones, from 0."""

    number: int
    prompt: str
    reference: str
    ids: list[int]


def evaluate_generation(
    versions: Versions,
    tokenizer: Any,
    rows: Iterable[Row],
    *,
    max_examples: int,
    max_new_tokens: int,
    leaked: Callable[[Row], bool] = lambda row: False,
    deadline: Deadline | None = None,
) -> dict[str, Any]:
    """Answer at most `max_examples` held-out rows greedily with every version.

    "base" and "tuned" hold exact_match, f1 (0 to 1), bleu (0 to 100) and, over the references that are JSON,
    valid_json (0 to 1); empty without an answered example. "answered" counts the examples, "leaked" the rows left out
    because `leaked` knows them from train, "too_long" those whose prompt leaves no room for `max_new_tokens`;
    "complete" is false when the deadline came first. "records" lists prompt, reference, answers and scores.
    """
    chosen, leaks = _choose(rows, max_examples, leaked)
    asked = _examples(tokenizer, chosen)
    fitting = [example for example in asked if len(example.ids) + max_new_tokens <= versions.context]

    def answer(model: Any, places: list[int]) -> list[str]:
        return greedy_answers(model, tokenizer, [fitting[place].ids for place in places], max_new_tokens)

    groups = batches([len(example.ids) + max_new_tokens for example in fitting])
    answers = versions.judge(groups, answer, deadline)
    judged = [fitting[place] for place in answers[versions.names[0]]]
    texts = {name: list(found.values()) for name, found in answers.items()}
    return {
        "answered": len(judged),
        "leaked": leaks,
        "too_long": len(asked) - len(fitting),
        "complete": len(judged) == len(fitting),
        **{name: _metrics(found, [example.reference for example in judged]) for name, found in texts.items()},
        "records": _records(judged, texts),
    }


def _choose(rows: Iterable[Row], count: int, leaked: Callable[[Row], bool]) -> tuple[list[tuple[int, Row]], int]:
    """`count` rows with their numbers in file order, and how many were leaked.

    Those with the smallest hashes: a file may be sorted by subject, and its first rows be all of one kind.
    """
    leaks = 0

    def clean() -> Iterator[tuple[int, Row]]:
        nonlocal leaks
        for number, row in enumerate(rows):
            if leaked(row):
                leaks += 1
            elif row.format != "text" and row.fields.get("label") is not False:
                yield number, row

    chosen = heapq.nsmallest(count, clean(), key=lambda numbered: (split.rank(numbered[1], seed=0), numbered[0]))
    return sorted(chosen, key=lambda numbered: numbered[0]), leaks


def _examples(tokenizer: Any, chosen: Iterable[tuple[int, Row]]) -> list[Example]:
    examples = []
    for number, row in chosen:
        if found := templates.prompt_and_reference(tokenizer, row):
            # The template writes its own special tokens.
            ids = tokenizer(found[0], add_special_tokens=False, verbose=False)["input_ids"]
            examples.append(Example(number, *found, ids))
    return examples


def _metrics(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    if not answers:
        return {}
    scores = list(map(_scores, answers, references))
    metrics = {name: fmean(score[name] for score in scores) for name in ("exact_match", "f1")}
    metrics["bleu"] = text_metrics.bleu(answers, references)
    valid = [
        float(text_metrics.is_json(answer))
        for answer, reference in zip(answers, references, strict=True)
        if text_metrics.is_json(reference)
    ]
    return {**metrics, "valid_json": fmean(valid)} if valid else metrics


def _scores(answer: str, reference: str) -> dict[str, float]:
    return {"exact_match": text_metrics.exact_match(answer, reference), "f1": text_metrics.f1(answer, reference)}


def _records(judged: Sequence[Example], texts: dict[str, list[str]]) -> list[dict[str, Any]]:
    return [
        _record(example, {name: found[place] for name, found in texts.items()}) for place, example in enumerate(judged)
    ]


def _record(example: Example, answers: dict[str, str]) -> dict[str, Any]:
    texts = {"prompt": example.prompt, "reference": example.reference, **answers}
    return {
        "row": example.number,
        **{name: text[:CHARACTERS_SHOWN] for name, text in texts.items()},
        "scores": {name: _scores(answer, example.reference) for name, answer in answers.items()},
    }
