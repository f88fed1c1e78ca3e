"""How likely both versions think the held-out answers: what training itself is judged by."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from trainer.evaluation.batches import TOKENS_PER_BATCH, batches
from trainer.evaluation.versions import Deadline, Versions

IGNORED = -100
# Half a gigabyte of logits in bf16, if every position were scored.
LOGITS_PER_BATCH = 2**28
POSITIONS_AT_ONCE = 1_024

Sequences = list[tuple[Sequence[int], Sequence[int]]]


@dataclass(frozen=True)
class Score:
    """Of the labelled tokens of one sequence: their negative log-likelihood in nats, how many were the most likely."""

    loss: float
    correct: int
    tokens: int


def evaluate_likelihood(
    versions: Versions, dataset: Any, *, left_out: Collection[int] = (), deadline: Deadline | None = None
) -> dict[str, Any]:
    """Score a tokenized `datasets.Dataset` with both versions; its columns say what for.

    input_ids, labels (-100: no loss): loss (nats per labelled token), perplexity, token_accuracy.
    prompt_ids, chosen_ids, rejected_ids: preference_accuracy, the share of pairs whose chosen answer is the likelier
    one, and preference_accuracy_per_token, the same with log-likelihoods divided by length.
    prompt_ids, completion_ids, label: desirable_loss and undesirable_loss.

    "base" and "tuned" hold those metrics, none without an example; "examples" and "tokens" count what each judged.
    `left_out` are numbers of examples to pass over. "complete" is false when the deadline came first.
    """
    sequences, metrics = _reading(dataset.column_names)
    numbers = [number for number in range(len(dataset)) if number not in left_out]
    kept = dataset.select(numbers).with_format(None)
    lengths = [sum(len(ids) for ids, _ in sequences(example)) for example in kept]

    def score(model: Any, places: list[int]) -> list[list[Score]]:
        read = [sequences(kept[place]) for place in places]
        scores = iter(_score(model, [sequence for found in read for sequence in found]))
        return [[next(scores) for _ in found] for found in read]

    groups = batches(lengths, tokens=min(TOKENS_PER_BATCH, LOGITS_PER_BATCH // versions.settings.vocab_size))
    found = versions.judge(groups, score, deadline)
    scored = found[versions.names[0]]
    judged = list(scored)
    return {
        "examples": len(judged),
        "tokens": sum(score.tokens for scores in scored.values() for score in scores),
        "leaked": len(dataset) - len(numbers),
        "complete": len(judged) == len(numbers),
        **{name: metrics(list(results.values()), kept.select(judged)) for name, results in found.items()},
    }


def _reading(columns: Collection[str]) -> tuple[Callable[[Any], Sequences], Callable[[list[list[Score]], Any], Any]]:
    if "labels" in columns:
        return _text, _text_metrics
    if "chosen_ids" in columns:
        return _pair, _pair_metrics
    return _judged_answer, _judged_answer_metrics


def _text(example: Any) -> Sequences:
    return [(example["input_ids"], example["labels"])]


def _text_metrics(scores: list[list[Score]], _: Any) -> dict[str, float]:
    tokens = sum(score.tokens for (score,) in scores)
    if not tokens:
        return {}
    loss = sum(score.loss for (score,) in scores) / tokens
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 100)),
        "token_accuracy": sum(score.correct for (score,) in scores) / tokens,
    }


def _pair(example: Any) -> Sequences:
    return [_answer(example["prompt_ids"], example[name]) for name in ("chosen_ids", "rejected_ids")]


def _pair_metrics(scores: list[list[Score]], _: Any) -> dict[str, float]:
    if not scores:
        return {}
    likelier = [chosen.loss < rejected.loss for chosen, rejected in scores]
    per_token = [chosen.loss * rejected.tokens < rejected.loss * chosen.tokens for chosen, rejected in scores]
    return {
        "preference_accuracy": sum(likelier) / len(scores),
        "preference_accuracy_per_token": sum(per_token) / len(scores),
    }


def _judged_answer(example: Any) -> Sequences:
    return [_answer(example["prompt_ids"], example["completion_ids"])]


def _judged_answer_metrics(scores: list[list[Score]], examples: Any) -> dict[str, float]:
    metrics = {}
    for name, wanted in (("desirable_loss", True), ("undesirable_loss", False)):
        judged = [score for (score,), label in zip(scores, examples["label"], strict=True) if bool(label) == wanted]
        if tokens := sum(score.tokens for score in judged):
            metrics[name] = sum(score.loss for score in judged) / tokens
    return metrics


def _answer(prompt: list[int], answer: list[int]) -> tuple[list[int], list[int]]:
    return prompt + answer, [IGNORED] * len(prompt) + answer


def _score(model: Any, sequences: Sequences) -> list[Score]:
    """One score per sequence, from a single pass over all of them padded on the right."""
    import torch

    width = max(len(ids) for ids, _ in sequences)
    ids = torch.tensor([[*ids, *[0] * (width - len(ids))] for ids, _ in sequences], device=model.device)
    mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in sequences], device=model.device)
    targets = torch.tensor([[*labels, *[IGNORED] * (width - len(labels))] for _, labels in sequences])[:, 1:]
    with torch.inference_mode():
        # The head is spared every position at which no sequence has a label.
        wanted = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)
        output = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=wanted.to(model.device))
        # A few architectures do not know the argument and score every position.
        logits = output.logits if output.logits.shape[1] == len(wanted) else output.logits[:, wanted]
        targets = targets[:, wanted].to(logits.device)
        losses, correct = _compare(logits.flatten(0, 1), targets.flatten())
        columns = (losses.view_as(targets), correct.view_as(targets), targets != IGNORED)
        return list(map(Score, *(column.sum(dim=1).tolist() for column in columns)))


def _compare(logits: Any, targets: Any) -> tuple[Any, Any]:
    """Loss of every position, in double precision for the sum, and whether the target is its most likely token."""
    import torch

    losses, correct = [], []
    for some, wanted in zip(logits.split(POSITIONS_AT_ONCE), targets.split(POSITIONS_AT_ONCE), strict=True):
        losses.append(torch.nn.functional.cross_entropy(some.float(), wanted, reduction="none").double())
        correct.append(some.argmax(-1) == wanted)
    return torch.cat(losses), torch.cat(correct)
