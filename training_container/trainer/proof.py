"""proof.json: what a finished model answers to a few prompts, by which a server proves that it serves that model.

Up to 32 prompts as chat messages, the greedy answers of the tuned model and of its base alone, and the log-probability
of every token in them, computed by the run's own process. A server that applies no adapter, or another one, answers
like the base or like neither; how far a sound one is off is what it is off without an adapter.
"""

import heapq
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from luthier.datasets.rows import Row
from trainer import conversations, data, distribution, encoding, log, split
from trainer.channels import open_channel
from trainer.evaluation import versions
from trainer.evaluation.batches import TOKENS_PER_BATCH, batches
from trainer.evaluation.versions import Deadline, Versions
from trainer.failures import Failure, classify

FILE = "proof.json"
FORMAT_VERSION, MAX_TOKENS, MOST_PROMPTS = 1, 8, 32
# A longer prompt costs more than it tells.
MOST_PROMPT_TOKENS = 1_024
# Of the rows, those seen, and those of them that are tried until there are prompts enough.
ROWS_SEEN, ROWS_TRIED = 10_000, 128
ROLES = ("system", "user", "assistant")
# For rows that hold no prompt, and for models that were trained elsewhere.
GENERAL = (
    "Name the capital of France and one river that runs through it.",
    "Write one short sentence about the sea.",
    "What is 17 + 25?",
)
# No further batch is begun once the proof has taken this part of the run's time, or so many seconds if that is more.
SHARE, SECONDS = 0.02, 3
DIGITS = 6
# Putting a model's weights aside and reading its base's takes two more copies of them, and some room.
COPIES = 2.2

Answer = list[tuple[str, float]]


@dataclass(frozen=True)
class Prompt:
    """`ids` are what the messages become, with the beginning of the assistant's turn behind them."""

    messages: list[dict[str, str]]
    ids: list[int]


def of_run(job: Any, parts: Any, trainer: Any) -> dict[str, Any]:
    """The content of proof.json for the model that `trainer` holds; empty in a process that writes no model.

    A failure here costs the proof, not the model: the content then says {"failed": code, "message": …}.
    """
    if not distribution.is_first():
        return {}
    started = time.monotonic()
    try:
        content = _of_run(job, parts, trainer)
    except Exception as error:
        failure = classify(error)
        log.warning(f"the model is left without proof: {failure.message}", code=failure.code)
        return _content([]) | {"failed": failure.code, "message": failure.message}
    log.info("proof made", prompts=len(content["prompts"]), seconds=round(time.monotonic() - started, 2))
    return content


def _of_run(job: Any, parts: Any, trainer: Any) -> dict[str, Any]:
    if trainer.is_fsdp_enabled:
        raise Failure("proof_skipped", "The weights are shared out among processes, so that none can answer alone.")
    budget, saving = job.budget, parts.endings.saving_seconds
    until = budget.seconds + max(SHARE * budget.seconds, SECONDS)

    def deadline(reserve: float) -> bool:
        return bool(job.interruption.requested or budget.exhausted(reserve + saving))

    if deadline(0):
        raise Failure("proof_skipped", "There was no money or time left for it.")
    model = trainer.accelerator.unwrap_model(trainer.model)
    longest = job.config.hyperparameters.max_sequence_length
    prompts = prompts_of(parts.tokenizer, _rows(job, parts), longest) or general_prompts(parts.tokenizer)
    # What was trained on at once has room without gradients too.
    fitting = trainer.rung.micro_batch * parts.train.longest
    return of_models(
        _versions(job, model),
        parts.tokenizer,
        prompts,
        deadline=deadline,
        enough=lambda: budget.seconds > until,
        tokens=fitting,
    )


def _versions(job: Any, model: Any) -> Versions:
    if hasattr(model, "peft_config"):
        return versions.of_adapter(model)
    import psutil

    found = versions.of_weights(model, job.folders.base_model)
    room = psutil.virtual_memory().available
    return found if COPIES * model.get_memory_footprint() < room else replace(found, base=None)


def _rows(job: Any, parts: Any) -> Iterator[Row]:
    """The held-out ones; those of the training where none are held out."""
    tolerated = job.config.data.invalid_share
    own = open_channel(job.folders.validation, tolerated)
    if own is None and parts.validation is not None:
        return data.held_out(job.folders, job.config)
    # Preparation has found the file good, so it need not be surveyed again.
    channel = own or open_channel(job.folders.train, tolerated)
    return (place.row for place in channel.places()) if channel else iter(())


def prompts_of(tokenizer: Any, rows: Iterable[Row], longest: int) -> list[Prompt]:
    """At most MOST_PROMPTS different prompts of the rows, a choice that depends on their content only.

    longest: tokens after which a row was cut in training. Left out is what a server would not get or not see as it was
    trained: plain text, tools, what no chat request holds, and messages that render to other tokens.
    """
    # A file may be sorted by subject, and its first rows be all of one kind.
    ranked = enumerate(islice(rows, ROWS_SEEN))
    tried = heapq.nsmallest(ROWS_TRIED, ranked, key=lambda numbered: (split.rank(numbered[1], seed=0), numbered[0]))
    found: dict[tuple[int, ...], Prompt] = {}
    for _, row in tried:
        if len(found) < MOST_PROMPTS and (prompt := _prompt(tokenizer, row, longest)):
            found.setdefault(tuple(prompt.ids), prompt)
    return list(found.values())


def _prompt(tokenizer: Any, row: Row, longest: int) -> Prompt | None:
    conversation = next(iter(conversations.of(row)), None)
    if conversation is None or conversation.tools or not conversation.turns:
        return None
    messages = conversation.messages[: conversation.turns[-1][0]]
    if not messages or not all(_is_plain(message) for message in messages):
        return None
    prompt = _rendered(tokenizer, messages)
    (encoded,) = encoding.encode(tokenizer, [row], longest)
    if not encoded.examples or len(prompt.ids) > MOST_PROMPT_TOKENS:
        return None
    return prompt if _trained_ids(encoded.examples[-1])[: len(prompt.ids)] == prompt.ids else None


def _is_plain(message: dict[str, Any]) -> bool:
    return message.keys() == {"role", "content"} and message["role"] in ROLES and isinstance(message["content"], str)


def _trained_ids(example: dict[str, Any]) -> list[int]:
    """The prompt and its answer, of a preference the chosen one, as the model saw them."""
    names = [name for name in ("input_ids", "prompt_ids", "chosen_ids", "completion_ids") if name in example]
    return [token for name in names for token in example[name]]


def general_prompts(tokenizer: Any) -> list[Prompt]:
    """Three that fit every model; the tokenizer has a chat template."""
    return [_rendered(tokenizer, [{"role": "user", "content": text}]) for text in GENERAL]


def _rendered(tokenizer: Any, messages: list[dict[str, str]]) -> Prompt:
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    # The template writes its own special tokens.
    return Prompt(messages, tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def of_models(
    models: Versions,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    *,
    deadline: Deadline | None = None,
    enough: Callable[[], bool] = lambda: False,
    tokens: int = TOKENS_PER_BATCH,
) -> dict[str, Any]:
    """The content of proof.json; `tokens` is the most that one batch may have. Asked between batches, `enough` tells
    whether those answers do that there are.

    Raises Failure(proof_skipped) when the deadline leaves no answer, Failure(unservable) for answers that are no
    numbers.
    """
    fitting = [prompt for prompt in prompts if len(prompt.ids) + MAX_TOKENS <= models.context]
    groups = batches([len(prompt.ids) + MAX_TOKENS for prompt in fitting], tokens=tokens)

    def answer(model: Any, places: list[int]) -> list[Answer]:
        return answers(model, tokenizer, [fitting[place].ids for place in places])

    tuned: dict[int, Answer] = {}
    base: dict[int, Answer] = {}
    for some in _rounds(groups, models):
        found = models.judge(some, answer, deadline)
        tuned |= found["tuned"]
        base |= found.get("base", {})
        if enough():
            break
    if not tuned:
        raise Failure("proof_skipped", "There was no time left for it, or no prompt leaves room for an answer.")
    return _content(
        [
            {"messages": fitting[place].messages, "base": base.get(place), "tuned": tuned[place]}
            for place in sorted(tuned)
        ]
    )


def _rounds(groups: list[list[int]], models: Versions) -> list[list[list[int]]]:
    """The batches one at a time where changing between tuned and base costs nothing, else all at once."""
    # Sorted by length as they are, an early end would leave only the short ones.
    mixed = random.Random(0).sample(groups, len(groups))
    return [[group] for group in mixed] if models.alternate else [mixed]


def _content(prompts: list[dict[str, Any]]) -> dict[str, Any]:
    return {"format_version": FORMAT_VERSION, "max_tokens": MAX_TOKENS, "prompts": prompts}


def answers(model: Any, tokenizer: Any, prompts: Sequence[list[int]]) -> list[Answer]:
    """The greedy answer to each prompt, up to MAX_TOKENS tokens and with the token that ends it: the text of each token
    and its log-probability (natural logarithm). Raises Failure(unservable) where one is no number."""
    import torch

    ends = _ends(model, tokenizer)
    pad = next(iter(ends), 0) if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    with torch.inference_mode(), _plainly(model, ends, pad):
        output = model.generate(input_ids=ids.to(model.device), attention_mask=mask.to(model.device))
        chosen = output.sequences[:, width:]
        likely = [
            step.float().log_softmax(-1).gather(1, chosen[:, place, None]) for place, step in enumerate(output.logits)
        ]
        scores = torch.cat(likely, dim=1).tolist()
    return [_answer(tokenizer, *both, ends) for both in zip(chosen.tolist(), scores, strict=True)]


@contextmanager
def _plainly(model: Any, ends: list[int], pad: int) -> Iterator[None]:
    """The model's own settings put aside: a repetition penalty, say, would change what is most likely."""
    from transformers import GenerationConfig

    # PEFT hands its own settings on to the model inside.
    holders = [model, model.get_base_model()] if hasattr(model, "peft_config") else [model]
    own = [holder.generation_config for holder in holders]
    model.generation_config = GenerationConfig(
        max_new_tokens=MAX_TOKENS,
        do_sample=False,
        # A recipe that checkpoints activations has switched the cache off.
        use_cache=True,
        eos_token_id=ends or None,
        pad_token_id=pad,
        return_dict_in_generate=True,
        output_logits=True,
    )
    try:
        yield
    finally:
        for holder, settings in zip(holders, own, strict=True):
            holder.generation_config = settings


def _ends(model: Any, tokenizer: Any) -> list[int]:
    configured = model.generation_config.eos_token_id
    found = [*(configured if isinstance(configured, list) else [configured]), tokenizer.eos_token_id]
    return sorted({token for token in found if token is not None})


def _answer(tokenizer: Any, ids: list[int], scores: list[float], ends: list[int]) -> Answer:
    if not all(map(math.isfinite, scores)):
        message = "The model answers with values that are no numbers."
        raise Failure("unservable", message, "Use weights that were saved whole, by a run whose loss stayed finite.")
    stop = next((place + 1 for place, token in enumerate(ids) if token in ends), len(ids))
    texts = (tokenizer.decode([token], clean_up_tokenization_spaces=False) for token in ids[:stop])
    return [(text, round(score, DIGITS)) for text, score in zip(texts, scores, strict=False)]
