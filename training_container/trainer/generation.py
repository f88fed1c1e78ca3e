"""A loaded model that answers several chat requests in one go."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer import device, templates
from trainer.adapter_store import BASE, AdapterStore, check_rendering
from trainer.chat import DEFAULT_MAX_TOKENS, Answer, BadRequest, ChatRequest, TokenChoice
from trainer.logprobs import Choice, Watcher

# The model's own sampling defaults would only cause warnings.
GREEDY = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}


class Generator:
    """`prepare` checks one request against the model; `answer` runs prepared requests that sample alike."""

    def __init__(self, model: Any, tokenizer: Any, scratch: Path) -> None:
        self.adapters = AdapterStore(model, tokenizer, scratch)
        self._base = model
        self._tokenizer = tokenizer
        self._context = model.config.get_text_config().max_position_embeddings
        self._ends = _end_tokens(model, tokenizer)

    def prepare(self, request: ChatRequest) -> "Prompt":
        """Render and count. Raises BadRequest if the template refuses the messages or the context is too short."""
        from jinja2 import TemplateError

        self._require(request.adapter)
        try:
            text = self._tokenizer.apply_chat_template(request.messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise BadRequest(f"The model's chat template refuses these messages: {error}", "messages") from error
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return Prompt(request, ids, self._room(len(ids), request.max_tokens))

    def _room(self, prompt_tokens: int, max_tokens: int | None) -> int:
        wanted = max_tokens or 1
        if prompt_tokens + wanted > self._context:
            raise BadRequest(
                f"This model's maximum context length is {self._context} tokens, but {prompt_tokens + wanted} were "
                f"requested: {prompt_tokens} in the messages, {wanted} in the completion.",
                "messages",
                "context_length_exceeded",
            )
        return max_tokens or min(DEFAULT_MAX_TOKENS, self._context - prompt_tokens)

    def answer(self, prompts: Sequence["Prompt"]) -> list[Answer | Exception]:
        """One answer per prompt, or why there is none: its adapter may have been removed since it was prepared.

        All of them sample with the first one's settings.
        """
        refused = {prompt: error for prompt in prompts if (error := self._refusal(prompt.request.adapter))}
        left = [prompt for prompt in prompts if prompt not in refused]
        answers = dict(zip(left, self._generated(left), strict=True)) if left else {}
        return [refused.get(prompt) or answers[prompt] for prompt in prompts]

    def _generated(self, prompts: Sequence["Prompt"]) -> list[Answer]:
        from transformers import set_seed

        first = prompts[0].request
        if first.seed is not None:
            set_seed(first.seed % 2**32)
        batch = [prompt.ids for prompt in prompts]
        names = [prompt.request.adapter or BASE for prompt in prompts]
        watcher = Watcher(self._base, max(prompt.request.top_logprobs or 0 for prompt in prompts))
        wanted = any(prompt.request.top_logprobs is not None for prompt in prompts)
        with watcher.watching() if wanted else contextlib.nullcontext():
            rows = generate(
                self.adapters.model,
                self._tokenizer,
                batch,
                max_new_tokens=max(prompt.room for prompt in prompts),
                stopping_criteria=[*([watcher.saw] if wanted else []), self._finished(prompts, max(map(len, batch)))],
                **_sampling(first),
                **({"adapter_names": names} if self.adapters.sources else {}),
            )
        seen = watcher.choices(len(prompts)) if wanted else [None] * len(prompts)
        return [self._read(prompt, row, choices) for prompt, row, choices in zip(prompts, rows, seen, strict=True)]

    def _require(self, adapter: str | None) -> None:
        if error := self._refusal(adapter):
            raise error

    def _refusal(self, adapter: str | None) -> BadRequest | None:
        if adapter is None or adapter in self.adapters:
            return None
        return BadRequest(f"There is no adapter {adapter!r}.", "model", "adapter_not_found", status=404)

    def _finished(self, prompts: Sequence["Prompt"], start: int) -> Any:
        """Ends each row at its own limit; without it a short answer would wait for the longest."""
        import torch

        def finished(input_ids: Any, scores: Any, **_: Any) -> Any:
            rows = input_ids[:, start:]
            return torch.tensor(
                [self._is_finished(prompt, row) for prompt, row in zip(prompts, rows, strict=True)],
                device=input_ids.device,
            )

        return finished

    def _is_finished(self, prompt: "Prompt", row: Any) -> bool:
        if len(row) >= prompt.room:
            return True
        return bool(prompt.request.stop) and any(stop in self._decode(row) for stop in prompt.request.stop)

    def _read(self, prompt: "Prompt", row: list[int], choices: list[Choice] | None) -> Answer:
        ids = row[: prompt.room]
        end = _end(ids, self._ends)
        text = self._decode(ids[:end])
        cut = min((text.find(stop) for stop in prompt.request.stop if stop in text), default=None)
        reason = "length" if end is None and cut is None else "stop"
        tokens = len(ids) if end is None else end + 1
        asked = prompt.request.top_logprobs
        told = choices if asked is not None else None
        return Answer(
            text[:cut],
            reason,
            len(prompt.ids),
            tokens,
            None if told is None else [self._told(choice, asked or 0) for choice in told[:tokens]],
        )

    def _told(self, choice: Choice, most: int) -> TokenChoice:
        top = [(self._tokenizer.decode([token]), logprob) for token, logprob in choice.top[:most]]
        return TokenChoice(self._tokenizer.decode([choice.token]), choice.logprob, top)

    def _decode(self, ids: Any) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True)


class Prompt:
    """A request in tokens; `room` is the most tokens the answer may have."""

    def __init__(self, request: ChatRequest, ids: list[int], room: int) -> None:
        self.request = request
        self.ids = ids
        self.room = room

    @property
    def batch_key(self) -> object:
        """Prompts with equal keys can be answered together. A seeded one is alone: its numbers must not be shared."""
        asked = self.request
        if asked.temperature == 0:
            return "greedy", asked.repetition_penalty
        alike = (asked.temperature, asked.top_p, asked.top_k, asked.repetition_penalty)
        return alike if asked.seed is None else object()


def load(folder: Path, scratch: Path) -> Generator:
    """Read a base model, or a model of its own, with its tokenizer and template; adapters are added later.

    scratch: where archives of adapters are unpacked. Raises Failure(template_mismatch) where tokenizer or template are
    not those that the model was trained with.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.chat_template = tokenizer.chat_template or templates.PLAIN_TEMPLATE
    check_rendering(tokenizer, folder)
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, dtype=device.detect().weights)
    return Generator(model.eval(), tokenizer, scratch)


def generate(model: Any, tokenizer: Any, prompts: Sequence[list[int]], **settings: Any) -> list[list[int]]:
    """The new token ids of each prompt; one that ends early is filled up with padding behind its end token.

    `settings` are those of transformers' generate.
    """
    import torch

    ends = _end_tokens(model, tokenizer)
    # Several models bring no padding token; what it is does not matter behind the mask.
    pad = next(iter(ends), 0) if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    with torch.inference_mode():
        output = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            **settings,
            # A recipe that checkpoints activations has switched the cache off in the model's own settings.
            use_cache=True,
            eos_token_id=ends,
            pad_token_id=pad,
        )
    return output[:, width:].tolist()


def greedy_answers(model: Any, tokenizer: Any, prompts: Sequence[list[int]], max_new_tokens: int) -> list[str]:
    """The text each prompt is most plainly answered with, up to the end token or `max_new_tokens`."""
    ends = _end_tokens(model, tokenizer)
    rows = generate(model, tokenizer, prompts, max_new_tokens=max_new_tokens, **GREEDY)
    return [tokenizer.decode(row[: _end(row, ends)], skip_special_tokens=True) for row in rows]


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return sorted({token for token in [*ends, tokenizer.eos_token_id] if token is not None})


def _end(ids: Sequence[int], ends: Sequence[int]) -> int | None:
    return next((index for index, token in enumerate(ids) if token in ends), None)


def _sampling(request: ChatRequest) -> dict[str, Any]:
    penalty = {} if request.repetition_penalty == 1 else {"repetition_penalty": request.repetition_penalty}
    if request.temperature == 0:
        return GREEDY | penalty
    # top_p 0 means the single most likely token, which generate spells as a very small value.
    top_p = max(request.top_p, 1e-6)
    return {"do_sample": True, "temperature": request.temperature, "top_p": top_p, "top_k": request.top_k} | penalty
