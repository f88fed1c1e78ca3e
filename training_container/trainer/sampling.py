"""What chat and text completions share: how a request is checked, and how its tokens are to be drawn.

Source: https://platform.openai.com/docs/api-reference/chat/create and …/completions/create
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

MAX_STOP_STRINGS = 4
# Choices of one request, over all its prompts.
MOST_CHOICES = 128
# Parameters that would change the answer in a way this server cannot give, and the values that ask for nothing.
_NEUTRAL_ONLY: dict[str, tuple[Any, ...]] = {
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
}
# What both requests know, of which some is said to OpenAI's platform and means nothing here.
_COMMON = {
    *_NEUTRAL_ONLY, "continuous_usage_stats", "max_completion_tokens", "max_tokens", "metadata", "model", "moderation",
    "n", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "repetition_penalty",
    "safety_identifier", "seed", "service_tier", "stop", "store", "stream", "stream_options", "temperature", "top_k",
    "top_p", "user",
}  # fmt: skip
_MOST = 2**63 - 1
_USAGE_OPTIONS = ("include_usage", "continuous_usage_stats")


class BadRequest(Exception):
    """The request cannot be answered; `param` is the path of the field at fault, `status` that of HTTP."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status

    def body(self) -> dict[str, Any]:
        """As the server sends it."""
        return error_body(self.message, "invalid_request_error", self.param, self.code)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """`max_tokens` None: as many as the server's default and the context allow. n: answers per prompt.

    adapter: None for the base model; top_logprobs: None where no log-probabilities are asked for; top_k 0: no limit;
    schema: the JSON schema that every answer has to follow. stream: in chunks; include_usage: the counts in a last one;
    continuous_usage: the counts so far in each. top_k, repetition_penalty and continuous_usage_stats are vLLM's
    additions (https://docs.vllm.ai).
    """

    model: str
    max_tokens: int | None
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]
    top_k: int = 0
    repetition_penalty: float = 1.0
    top_logprobs: int | None = None
    adapter: str | None = None
    n: int = 1
    schema: dict[str, Any] | None = None
    stream: bool = False
    include_usage: bool = False
    continuous_usage: bool = False


@dataclass(frozen=True)
class Token:
    """A token as a client sees it. bytes: those it stands for; of a part of a character the text has none."""

    text: str
    bytes: bytes


@dataclass(frozen=True)
class TokenChoice:
    """A token of an answer, its natural log-probability before any sampling, and the likeliest beside it."""

    token: Token
    logprob: float
    top: list[tuple[Token, float]]


@dataclass(frozen=True)
class Answer:
    """finish_reason is "stop" or "length"; completion_tokens counts the token that ended the answer.

    choices: one per generated token, that which ended the answer included; None where they were not asked for.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    choices: list[TokenChoice] | None = None


@dataclass(frozen=True)
class Piece:
    """What an answer has grown by: text, tokens, and the reason once it is finished. tokens: of the answer so far."""

    text: str
    choices: list[TokenChoice]
    tokens: int
    finish_reason: str | None = None


def parse(body: dict[str, Any], adapter: str | None) -> dict[str, Any]:
    """The fields of Sampling but top_logprobs and schema. Raises BadRequest for the first field at fault."""
    refuse_unless_neutral(body, _NEUTRAL_ONLY)
    limit = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    count = integer(body, "n", minimum=1) or 1
    if count > MOST_CHOICES:
        raise BadRequest(f"n must be at most {MOST_CHOICES}.", "n")
    return {
        "model": str(body.get("model") or ""),
        "max_tokens": integer(body, limit, minimum=1),
        "temperature": number(body, "temperature", 0, 2),
        "top_p": number(body, "top_p", 0, 1),
        "seed": integer(body, "seed", minimum=-(2**63)),
        "stop": _stop(body.get("stop")),
        "top_k": max(0, integer(body, "top_k", minimum=-1) or 0),
        "repetition_penalty": _penalty(body),
        "adapter": adapter,
        "n": count,
        "stream": boolean(body, "stream"),
        **_stream_options(body),
    }


def refuse_unknown(body: dict[str, Any], own: Collection[str]) -> None:
    """Raises BadRequest(unknown_field) for a parameter that is neither common nor the request's own."""
    for name in body:
        if name not in _COMMON and name not in own:
            raise BadRequest(f"Unknown field {name[:80]!r}.", name[:80], "unknown_field")


def refuse_unless_neutral(body: dict[str, Any], neutral_only: dict[str, tuple[Any, ...]]) -> None:
    """Raises BadRequest(unsupported_parameter) for a parameter that has any but its neutral values."""
    for name, neutral in neutral_only.items():
        if body.get(name) not in neutral:
            raise unsupported(name)


def unsupported(name: str, why: str = "by this model's server") -> BadRequest:
    return BadRequest(f"{name} is not supported {why}.", name, "unsupported_parameter")


def number(body: dict[str, Any], name: str, minimum: float, maximum: float) -> float:
    value = body.get(name)
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
        raise BadRequest(f"{name} must be a number from {minimum} to {maximum}.", name)
    return float(value)


def integer(body: dict[str, Any], name: str, minimum: int) -> int | None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= _MOST):
        raise BadRequest(f"{name} must be a whole number of at least {minimum} and at most 2^63-1.", name)
    return value


def boolean(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value not in (None, True, False):
        raise BadRequest(f"{name} must be true or false.", name)
    return bool(value)


def usage(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """OpenAI's `usage`."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def new_id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex}"


def error_body(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """OpenAI's error envelope, all four keys."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _penalty(body: dict[str, Any]) -> float:
    if body.get("repetition_penalty") == 0:
        raise BadRequest("repetition_penalty must be greater than 0.", "repetition_penalty")
    return number(body, "repetition_penalty", 0, 2)


def _stop(given: Any) -> tuple[str, ...]:
    strings = [given] if isinstance(given, str) else given or []
    if not isinstance(strings, list) or not all(isinstance(string, str) and string for string in strings):
        raise BadRequest("stop must be a string or a list of strings.", "stop")
    if len(strings) > MAX_STOP_STRINGS:
        raise BadRequest(f"stop takes at most {MAX_STOP_STRINGS} strings.", "stop")
    return tuple(strings)


def _stream_options(body: dict[str, Any]) -> dict[str, bool]:
    options = body.get("stream_options")
    if options is None:
        return {}
    if not isinstance(options, dict):
        raise BadRequest("stream_options must be an object.", "stream_options")
    if not body.get("stream"):
        raise BadRequest("stream_options needs stream to be true.", "stream_options")
    for name in _USAGE_OPTIONS:
        if options.get(name) not in (None, True, False):
            raise BadRequest(f"stream_options.{name} must be true or false.", f"stream_options.{name}")
    include, continuous = (bool(options.get(name)) for name in _USAGE_OPTIONS)
    return {"include_usage": include, "continuous_usage": continuous}
