"""A loaded model that answers several chat requests in one go."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trainer import device, sampling, templates, tool_calls
from trainer.adapter_store import BASE, AdapterStore, check_rendering
from trainer.chat import ChatRequest
from trainer.grammar import Grammars, Ruling
from trainer.logprobs import Watcher
from trainer.sampling import Answer, BadRequest, Piece, Sampling
from trainer.text_completion import TextRequest
from trainer.transcript import Transcript
from trainer.turn import OthersWait, Turn, never

# The model's own sampling defaults would only cause warnings.
GREEDY = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}


class Cancelled(Exception):
    """Nobody waits for the answer."""


class Generator:
    """`prepare` checks one request against the model; `answer` runs prepared requests that sample alike.

    usual_tokens: of an answer whose request sets no limit, as far as the context has room.
    """

    usual_tokens = 512

    def __init__(self, model: Any, tokenizer: Any, scratch: Path) -> None:
        self.adapters = AdapterStore(model, tokenizer, scratch)
        self._base = model
        self._tokenizer = tokenizer
        self._context = model.config.get_text_config().max_position_embeddings
        self._vocabulary = model.get_input_embeddings().num_embeddings
        self._ends = _end_tokens(model, tokenizer)
        self.grammars = Grammars(tokenizer, self._vocabulary, self._ends)

    @property
    def device(self) -> str:
        """Where the model lies: cpu, cuda or mps."""
        return str(self._base.device.type)

    def prepare(self, request: ChatRequest | TextRequest) -> list["Prompt"]:
        """Render and count: one prompt per choice, in the order of their index.

        Raises BadRequest if the template refuses the messages or has no tools, the schema is none, or the context is
        too short.
        """
        self._require(request.adapter)
        field, texts = "messages", []
        if isinstance(request, ChatRequest):
            # The template writes its own special tokens.
            texts = [self._tokenizer(self._rendered(request), add_special_tokens=False, verbose=False)["input_ids"]]
        else:
            field, texts = "prompt", [self._tokens(prompt) for prompt in request.prompts]
        prompts = []
        for ids in texts:
            room = self._room(len(ids), request.max_tokens, field)
            for number in range(request.n):
                seed = None if request.seed is None else request.seed + number
                matcher = self.grammars.matcher(request.schema) if request.schema is not None else None
                prompts.append(Prompt(request, ids, room, seed=seed, matcher=matcher))
        return prompts

    def _rendered(self, request: ChatRequest) -> str:
        from jinja2 import TemplateError

        template = self._tokenizer.get_chat_template(tools=request.tools)
        if not tool_calls.is_taught(template):
            if request.tools:
                raise sampling.unsupported("tools", "by this model: its chat template does not know them")
            for index, message in enumerate(request.messages):
                if message["role"] == "tool" or "tool_calls" in message:
                    raise sampling.unsupported(f"messages[{index}]", "by this model: its chat template knows no tools")
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    request.messages, tools=request.tools, tokenize=False, add_generation_prompt=True
                )
            )
        except (TemplateError, TypeError) as error:
            raise BadRequest(f"The model's chat template refuses these messages: {error}", "messages") from error

    def _tokens(self, prompt: str | list[int]) -> list[int]:
        if isinstance(prompt, str):
            ids: list[int] = self._tokenizer(prompt, verbose=False)["input_ids"]
            if not ids:
                raise BadRequest("prompt must not be empty.", "prompt")
            return ids
        if max(prompt) >= self._vocabulary:
            raise BadRequest(f"prompt holds a token id beyond {self._vocabulary - 1}.", "prompt")
        return prompt

    def _room(self, prompt_tokens: int, max_tokens: int | None, field: str) -> int:
        wanted = max_tokens or 1
        if prompt_tokens + wanted > self._context:
            raise BadRequest(
                f"This model's maximum context length is {self._context} tokens, but {prompt_tokens + wanted} were "
                f"requested: {prompt_tokens} in the {field}, {wanted} in the completion.",
                field,
                "context_length_exceeded",
            )
        return max_tokens or min(self.usual_tokens, self._context - prompt_tokens)

    def answer(self, prompts: Sequence["Prompt"], others_wait: OthersWait = never) -> list[Answer | Exception | None]:
        """One answer per prompt, or why there is none: its adapter may have been removed since it was prepared, or
        nobody waits for it any more. None for one that is to be gone on with, in one batch with those that wait.

        All of them sample with the first one's settings.
        """
        refused = {prompt: error for prompt in prompts if (error := self._obstacle(prompt))}
        left = [prompt for prompt in prompts if prompt not in refused]
        answers = dict(zip(left, self._generated(left, others_wait), strict=True)) if left else {}
        return [refused.get(prompt) or answers[prompt] for prompt in prompts]

    def _generated(self, prompts: Sequence["Prompt"], others_wait: OthersWait) -> list[Answer | None]:
        from transformers import set_seed

        first = prompts[0]
        if first.seed is not None:
            set_seed(first.seed % 2**32)
            # What is drawn must not depend on who else asks.
            others_wait = never
        transcripts = [self._transcript(prompt) for prompt in prompts]
        names = [prompt.request.adapter or BASE for prompt in prompts]
        watcher = Watcher(self._base, max(prompt.request.top_logprobs or 0 for prompt in prompts))
        wanted = any(prompt.request.top_logprobs is not None for prompt in prompts)
        ruling = Ruling([prompt.matcher for prompt in prompts])
        ruled = any(prompt.matcher is not None for prompt in prompts)
        with watcher.watching() if wanted else contextlib.nullcontext():
            generate(
                self.adapters.model,
                self._tokenizer,
                [prompt.ids + transcript.ids for prompt, transcript in zip(prompts, transcripts, strict=True)],
                max_new_tokens=max(
                    prompt.room - len(transcript.ids) for prompt, transcript in zip(prompts, transcripts, strict=True)
                ),
                stopping_criteria=[
                    _steps(prompts, transcripts, watcher if wanted else None, ruling, Turn(others_wait))
                ],
                **({"logits_processor": [ruling]} if ruled else {}),
                **_sampling(first.request),
                **({"adapter_names": names} if self.adapters.sources else {}),
            )
        return [
            transcript.answer(len(prompt.ids)) if transcript.finish_reason or prompt.cancelled else None
            for transcript, prompt in zip(transcripts, prompts, strict=True)
        ]

    def _transcript(self, prompt: "Prompt") -> Transcript:
        """The prompt's own, which it may have begun in another batch."""
        if prompt.transcript is None:
            prompt.transcript = Transcript(prompt.request, self._tokenizer, self._ends, prompt.room, prompt.hear)
        return prompt.transcript

    def _require(self, adapter: str | None) -> None:
        if error := self._refusal(adapter):
            raise error

    def _obstacle(self, prompt: "Prompt") -> Exception | None:
        return Cancelled() if prompt.cancelled else self._refusal(prompt.request.adapter)

    def _refusal(self, adapter: str | None) -> BadRequest | None:
        if adapter is None or adapter in self.adapters:
            return None
        return BadRequest(f"There is no adapter {adapter!r}.", "model", "adapter_not_found", status=404)


class Prompt:
    """A request in tokens; `room` is the most tokens the answer may have, `matcher` what it has to follow.

    hear: called with each piece of the answer by the thread that generates. cancelled: set by whoever wants no more.
    transcript: the answer so far, once it has begun. finished: called with the whole, when others may still go on.
    """

    def __init__(
        self, request: Sampling, ids: list[int], room: int, *, seed: int | None = None, matcher: Any = None
    ) -> None:
        self.request = request
        self.ids = ids
        self.room = room
        self.seed = seed
        self.matcher = matcher
        self.hear: Callable[[Piece], None] | None = None
        self.cancelled = False
        self.transcript: Transcript | None = None
        self.finished: Callable[[Answer], object] | None = None

    @property
    def batch_key(self) -> object:
        """Prompts with equal keys can be answered together. A seeded one is alone: its numbers must not be shared."""
        asked = self.request
        if asked.temperature == 0:
            return "greedy", asked.repetition_penalty
        alike = (asked.temperature, asked.top_p, asked.top_k, asked.repetition_penalty)
        return alike if self.seed is None else object()


def load(folder: Path, scratch: Path, place: str = device.AUTO) -> Generator:
    """Read a base model, or a model of its own, with its tokenizer and template; adapters are added later.

    scratch: where archives of adapters are unpacked. place: one of device.PLACES. Raises Failure(template_mismatch)
    where tokenizer or template are not those that the model was trained with.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.chat_template = tokenizer.chat_template or templates.PLAIN_TEMPLATE
    check_rendering(tokenizer, folder)
    where, weights = device.serving(place)
    model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, dtype=weights)
    return Generator(model.to(where).eval(), tokenizer, scratch)


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


def _steps(
    prompts: Sequence[Prompt], transcripts: Sequence[Transcript], watcher: Watcher | None, ruling: Ruling, turn: Turn
) -> Any:
    """A stopping criterion that takes in each step, and ends each row at its own end or when nobody wants it; all of
    them when the turn is over.
    """
    import torch

    def step(input_ids: Any, scores: Any, **_: Any) -> Any:
        chosen = input_ids[:, -1].tolist()
        choices = watcher.step(input_ids[:, -1:]) if watcher else [None] * len(chosen)
        ended = []
        for row, (prompt, transcript) in enumerate(zip(prompts, transcripts, strict=True)):
            going = not transcript.finish_reason
            if going:
                ruling.took(row, chosen[row])
            ended.append(prompt.cancelled or transcript.add(chosen[row], choices[row]))
            if going and transcript.finish_reason and prompt.finished:
                prompt.finished(transcript.answer(len(prompt.ids)))
        return torch.tensor(ended, device=input_ids.device) | turn.over()

    return step


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    configured = model.generation_config.eos_token_id
    ends = configured if isinstance(configured, list) else [configured]
    return sorted({token for token in [*ends, tokenizer.eos_token_id] if token is not None})


def _end(ids: Sequence[int], ends: Sequence[int]) -> int | None:
    return next((index for index, token in enumerate(ids) if token in ends), None)


def _sampling(request: Sampling) -> dict[str, Any]:
    penalty = {} if request.repetition_penalty == 1 else {"repetition_penalty": request.repetition_penalty}
    if request.temperature == 0:
        return GREEDY | penalty
    # top_p 0 means the single most likely token, which generate spells as a very small value.
    top_p = max(request.top_p, 1e-6)
    return {"do_sample": True, "temperature": request.temperature, "top_p": top_p, "top_k": request.top_k} | penalty
