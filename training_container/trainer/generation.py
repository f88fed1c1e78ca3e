"""A loaded model that answers several chat requests in one go."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainer import device, templates
from trainer.chat import DEFAULT_MAX_TOKENS, Answer, BadRequest, ChatRequest
from trainer.failures import Failure

# The model's own sampling defaults would only cause warnings.
GREEDY = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}


class Generator:
    """`prepare` checks one request against the model; `answer` runs prepared requests that sample alike."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._context = model.config.get_text_config().max_position_embeddings
        self._ends = _end_tokens(model, tokenizer)

    def prepare(self, request: ChatRequest) -> "Prompt":
        """Render and count. Raises BadRequest if the template refuses the messages or the context is too short."""
        from jinja2 import TemplateError

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

    def answer(self, prompts: Sequence["Prompt"]) -> list[Answer]:
        """One answer per prompt. All of them sample with the first one's temperature, top_p and seed."""
        from transformers import set_seed

        first = prompts[0].request
        if first.seed is not None:
            set_seed(first.seed % 2**32)
        batch = [prompt.ids for prompt in prompts]
        rows = generate(
            self._model,
            self._tokenizer,
            batch,
            max_new_tokens=max(prompt.room for prompt in prompts),
            stopping_criteria=[self._finished(prompts, max(map(len, batch)))],
            **_sampling(first),
        )
        return [self._read(prompt, row) for prompt, row in zip(prompts, rows, strict=True)]

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

    def _read(self, prompt: "Prompt", row: list[int]) -> Answer:
        ids = row[: prompt.room]
        end = _end(ids, self._ends)
        text = self._decode(ids[:end])
        cut = min((text.find(stop) for stop in prompt.request.stop if stop in text), default=None)
        reason = "length" if end is None and cut is None else "stop"
        return Answer(text[:cut], reason, len(prompt.ids), len(ids) if end is None else end + 1)

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
        if self.request.temperature == 0:
            return "greedy"
        return (self.request.temperature, self.request.top_p) if self.request.seed is None else object()


def load(base_model: Path, adapter: Path | None) -> Generator:
    """Read the base model and merge the adapter into it. Tokenizer and template are the adapter's where it has them.

    Raises Failure(template_mismatch) where they are not those that the model was trained with.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = adapter if adapter and (adapter / "tokenizer_config.json").exists() else base_model
    tokenizer = AutoTokenizer.from_pretrained(source)
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.chat_template = tokenizer.chat_template or templates.PLAIN_TEMPLATE
    _check_rendering(tokenizer, adapter or base_model)
    model = AutoModelForCausalLM.from_pretrained(base_model, use_safetensors=True, dtype=device.detect().weights)
    if adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    return Generator(model.eval(), tokenizer)


def _check_rendering(tokenizer: Any, folder: Path) -> None:
    """Compare with the model card; a folder without one is a base model, or was not trained here."""
    try:
        card = json.loads((folder / "model_card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    trained, found = card.get("template_sha256"), templates.fingerprint(tokenizer)
    if trained not in (None, found):
        message = f"Chat template or tokenizer have the hash {found[:12]}…; the model was trained with {trained[:12]}…."
        raise Failure("template_mismatch", message)


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
    if request.temperature == 0:
        return GREEDY
    # top_p 0 means the single most likely token, which generate spells as a very small value.
    return {"do_sample": True, "temperature": request.temperature, "top_p": max(request.top_p, 1e-6), "top_k": 0}
