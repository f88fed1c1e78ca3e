"""Asks the source and its export the same questions and compares what they say, token by token.

The questions are rendered by the model's own chat template and tokenized by each side's own tokenizer. The source
answers greedily; the export then reads question and answer in one pass, which gives both the log-probability of every
token and the token it would have chosen at every place, without a cache or a generation loop of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from trainer import templates

# Digits, scripts, spaces and line breaks: what tokenizers treat differently.
QUESTIONS = (
    "Name the capital of France and one river that runs through it.",
    "Wie spät ist es in Zürich?  Antworte in 24-Stunden-Zeit, z. B. 08:15.",
    "def mean(values):\n    return sum(values) / len(values)\n\nWhat does mean([1, 20, 300]) give?",
    "我的包裹还没有到。 Order #48213, €1,299.00 🙂",
)
ANSWER_TOKENS = 16


@dataclass(frozen=True)
class Tolerance:
    """How far one log-probability (natural logarithm) may be off, how far all of them on average, and why that far.

    Rounding shows most in tokens that the model finds unlikely, so the largest difference has to be generous; it is the
    mean that tells rounding from a mistake.
    """

    largest: float
    mean: float
    reason: str


@dataclass(frozen=True)
class Reader:
    """An export that was loaded again. `logits` takes token ids [n] and gives float32 [n, vocabulary]."""

    name: str
    tokenizer: Any
    logits: Callable[[list[int]], Any]


@dataclass(frozen=True)
class Asked:
    """One question and the source's answer.

    `ids` [n] are both, of which the last `answer` tokens are the answer; `log_probabilities` [n - 1] belong to
    ids[1:]; `choices` [answer, vocabulary] are the source's at each place of the answer; `base` [n - 1] is what the
    base says without the adapter (None: there is no adapter).
    """

    question: str
    text: str
    ids: list[int]
    answer: int
    log_probabilities: Any
    choices: Any
    base: Any


def ask(tokenizer: Any, model: Any) -> list[Asked]:
    """The source's answers, the adapter unmerged where there is one."""
    return [_ask(question, tokenizer, model) for question in QUESTIONS]


def _ask(question: str, tokenizer: Any, model: Any) -> Asked:
    text = render(tokenizer, question)
    ids = encode(tokenizer, text)
    answered = [*ids, *_greedy(model, ids)]
    rows = log_softmax(torch_logits(model)(answered))
    own = _of_tokens(rows, answered)
    base = None
    if hasattr(model, "disable_adapter"):
        with model.disable_adapter():
            base = _of_tokens(log_softmax(torch_logits(model)(answered)), answered)
    return Asked(question, text, answered, len(answered) - len(ids), own, rows[len(ids) - 1 : -1].copy(), base)


def render(tokenizer: Any, question: str) -> str:
    """The prompt text, up to where the assistant begins."""
    return tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        chat_template=tokenizer.chat_template or templates.PLAIN_TEMPLATE,
        tokenize=False,
        add_generation_prompt=True,
    )


def encode(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]


def torch_logits(model: Any) -> Callable[[list[int]], Any]:
    """The reader's function for a transformers model."""
    import torch

    def logits(ids: list[int]) -> Any:
        with torch.inference_mode():
            return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float().numpy()

    return logits


def _greedy(model: Any, ids: list[int]) -> list[int]:
    # Not generate(): the model's own settings (a repetition penalty, say) would change what is most likely.
    import torch

    answer: list[int] = []
    given, cache = torch.tensor([ids]), None
    with torch.inference_mode():
        while len(answer) < ANSWER_TOKENS:
            output = model(input_ids=given, past_key_values=cache, use_cache=True)
            answer.append(int(output.logits[0, -1].argmax()))
            given, cache = torch.tensor([answer[-1:]]), output.past_key_values
    return answer


def compare(asked: list[Asked], reader: Reader, tolerance: Tolerance) -> dict[str, Any]:
    """The proof.

    reader, questions, tokens (compared), tokens_equal and template_equal (the export's own tokenizer and template give
    the same prompts), max_difference and mean_difference of log-probabilities, greedy_tokens and greedy_equal (how many
    of them the export would choose too), greedy_gap (the most the source preferred its token to the export's),
    without_adapter (the mean difference of the base alone from the source), to_base (and of the export from the base),
    notices_lost_adapter (the adapter does enough for an export that is nearer to the base to have failed; these three
    are None without an adapter), max_tolerance, mean_tolerance, reason, ok.
    """
    import numpy as np

    seen = [_compare(one, reader) for one in asked]
    differences, gaps, without, to_base = (
        np.concatenate([one[name] for one in seen]) for name in ("differences", "gaps", "without", "to_base")
    )
    # Below a quarter of the tolerance, rounding alone may bring an export nearer to the base.
    notices = _mean(without) > tolerance.mean / 4 if len(without) else None
    proof: dict[str, Any] = {
        "reader": reader.name,
        "questions": len(asked),
        "tokens": len(differences),
        "tokens_equal": all(one["tokens_equal"] for one in seen),
        "template_equal": all(one["template_equal"] for one in seen),
        "max_difference": _round(_largest(differences)),
        "mean_difference": _mean(differences),
        "greedy_tokens": len(gaps),
        "greedy_equal": int(np.sum(gaps == 0)),
        "greedy_gap": _round(_largest(gaps)),
        "without_adapter": _mean(without) if len(without) else None,
        "to_base": _mean(to_base) if len(without) else None,
        "notices_lost_adapter": notices,
        "max_tolerance": tolerance.largest,
        "mean_tolerance": tolerance.mean,
        "reason": tolerance.reason,
    }
    # Two log-probabilities, each off by the tolerance, can trade places when they are twice that apart.
    close = proof["max_difference"] <= tolerance.largest and proof["greedy_gap"] <= 2 * tolerance.largest
    same = proof["tokens_equal"] and proof["template_equal"] and proof["mean_difference"] <= tolerance.mean
    nearer = not notices or proof["mean_difference"] < proof["to_base"]
    return {**proof, "ok": bool(close and same and nearer)}


def _compare(asked: Asked, reader: Reader) -> dict[str, Any]:
    import numpy as np

    rows = log_softmax(reader.logits(asked.ids)[:, : asked.choices.shape[1]])
    chosen = rows[-asked.answer - 1 : -1].argmax(axis=-1)
    places = np.arange(asked.answer)
    own = _of_tokens(rows, asked.ids)
    base = asked.base if asked.base is not None else own[:0]
    return {
        "tokens_equal": encode(reader.tokenizer, asked.text) == asked.ids[: -asked.answer],
        "template_equal": render(reader.tokenizer, asked.question) == asked.text,
        "differences": np.abs(own - asked.log_probabilities),
        "without": np.abs(base - asked.log_probabilities[: len(base)]),
        "to_base": np.abs(base - own[: len(base)]),
        "gaps": asked.choices[places, asked.ids[-asked.answer :]] - asked.choices[places, chosen],
    }


def log_softmax(logits: Any) -> Any:
    import numpy as np

    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _of_tokens(rows: Any, ids: list[int]) -> Any:
    return rows[range(len(ids) - 1), ids[1:]]


def _largest(differences: Any) -> float:
    """The largest absolute value; one that is not a number is larger than any."""
    import numpy as np

    return float(np.nan_to_num(np.abs(differences), nan=np.inf).max())


def _mean(differences: Any) -> float:
    import numpy as np

    return _round(float(np.nan_to_num(np.mean(differences), nan=np.inf)))


def _round(value: float) -> float:
    return float(f"{value:.4g}")
