"""OpenAI's chat completion, as far as one text model can answer it: the request checked, the answer shaped.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

import time
import uuid
from dataclasses import dataclass
from typing import Any

DEFAULT_MAX_TOKENS = 512
MOST_TOP_LOGPROBS = 20
MAX_STOP_STRINGS = 4
ROLES = ("system", "developer", "user", "assistant")
# Parameters that would change the answer in a way this server cannot give, and the values that ask for nothing.
NEUTRAL_ONLY: dict[str, tuple[Any, ...]] = {
    "n": (None, 1),
    "stream": (None, False),
    "tools": (None, []),
    "functions": (None, []),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "response_format": (None, {"type": "text"}),
}


class BadRequest(Exception):
    """The request cannot be answered; `param` is the path of the field at fault, `status` that of HTTP."""

    def __init__(self, message: str, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.status = status


@dataclass(frozen=True)
class ChatRequest:
    """`max_tokens` None: as many as DEFAULT_MAX_TOKENS and the context allow.

    adapter: None for the base model; top_logprobs: None where no log-probabilities are asked for; top_k 0: no limit.
    top_k and repetition_penalty are vLLM's additions (https://docs.vllm.ai, sampling parameters).
    """

    model: str
    messages: list[dict[str, str]]
    max_tokens: int | None
    temperature: float
    top_p: float
    seed: int | None
    stop: tuple[str, ...]
    top_k: int = 0
    repetition_penalty: float = 1.0
    top_logprobs: int | None = None
    adapter: str | None = None


@dataclass(frozen=True)
class TokenChoice:
    """A token of an answer: its text, its natural log-probability before any sampling, and the likeliest beside it."""

    token: str
    logprob: float
    top: list[tuple[str, float]]


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


def parse(body: Any, adapter: str | None = None) -> ChatRequest:
    """Check a request body; `adapter` comes from its header.

    Unknown fields are ignored, as OpenAI's. Raises BadRequest for the first field at fault.
    """
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    for name, neutral in NEUTRAL_ONLY.items():
        if body.get(name) not in neutral:
            raise BadRequest(f"{name} is not supported by this model's server.", name, "unsupported_parameter")
    limit = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    return ChatRequest(
        model=str(body.get("model") or ""),
        messages=_messages(body.get("messages")),
        max_tokens=_integer(body, limit, minimum=1),
        temperature=_number(body, "temperature", 0, 2),
        top_p=_number(body, "top_p", 0, 1),
        seed=_integer(body, "seed", minimum=-(2**63)),
        stop=_stop(body.get("stop")),
        top_k=max(0, _integer(body, "top_k", minimum=-1) or 0),
        repetition_penalty=_penalty(body),
        top_logprobs=_top_logprobs(body),
        adapter=adapter,
    )


def _penalty(body: dict[str, Any]) -> float:
    if body.get("repetition_penalty") == 0:
        raise BadRequest("repetition_penalty must be greater than 0.", "repetition_penalty")
    return _number(body, "repetition_penalty", 0, 2)


def _top_logprobs(body: dict[str, Any]) -> int | None:
    asked, count = body.get("logprobs"), _integer(body, "top_logprobs", minimum=0)
    if asked not in (None, True, False):
        raise BadRequest("logprobs must be true or false.", "logprobs")
    if count is not None and not asked:
        raise BadRequest("top_logprobs needs logprobs to be true.", "top_logprobs")
    if (count or 0) > MOST_TOP_LOGPROBS:
        raise BadRequest(f"top_logprobs must be at most {MOST_TOP_LOGPROBS}.", "top_logprobs")
    return count or 0 if asked else None


def _messages(given: Any) -> list[dict[str, str]]:
    if not isinstance(given, list) or not given:
        raise BadRequest("messages must be a list with at least one message.", "messages")
    return [_message(message, f"messages[{index}]") for index, message in enumerate(given)]


def _message(given: Any, place: str) -> dict[str, str]:
    if not isinstance(given, dict):
        raise BadRequest(f"{place} must be an object with role and content.", place)
    role = given.get("role")
    if role not in ROLES:
        raise BadRequest(f"{place}.role must be one of {', '.join(ROLES)}; given: {role!r:.80}.", f"{place}.role")
    content = _content(given.get("content"), f"{place}.content")
    return {"role": "system" if role == "developer" else role, "content": content}


def _content(given: Any, place: str) -> str:
    if isinstance(given, list):
        return "".join(_part(part, f"{place}[{index}]") for index, part in enumerate(given))
    if not isinstance(given, str):
        raise BadRequest(f"{place} must be a string or a list of text parts.", place)
    return given


def _part(given: Any, place: str) -> str:
    if not isinstance(given, dict) or given.get("type") != "text" or not isinstance(given.get("text"), str):
        raise BadRequest(f'{place} must be a text part: {{"type": "text", "text": "…"}}.', place)
    return given["text"]


def _number(body: dict[str, Any], name: str, minimum: float, maximum: float) -> float:
    value = body.get(name)
    if value is None:
        return 1.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not minimum <= value <= maximum:
        raise BadRequest(f"{name} must be a number from {minimum} to {maximum}.", name)
    return float(value)


def _integer(body: dict[str, Any], name: str, minimum: int) -> int | None:
    value = body.get(name)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < minimum):
        raise BadRequest(f"{name} must be a whole number of at least {minimum}.", name)
    return value


def _stop(given: Any) -> tuple[str, ...]:
    strings = [given] if isinstance(given, str) else given or []
    if not isinstance(strings, list) or not all(isinstance(string, str) and string for string in strings):
        raise BadRequest("stop must be a string or a list of strings.", "stop")
    if len(strings) > MAX_STOP_STRINGS:
        raise BadRequest(f"stop takes at most {MAX_STOP_STRINGS} strings.", "stop")
    return tuple(strings)


def completion(request: ChatRequest, answer: Answer) -> dict[str, Any]:
    """The `chat.completion` object."""
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text, "refusal": None},
                "logprobs": _logprobs(answer),
                "finish_reason": answer.finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        },
    }


def _logprobs(answer: Answer) -> dict[str, Any] | None:
    if answer.choices is None:
        return None
    content = [
        _token(choice.token, choice.logprob) | {"top_logprobs": [_token(*likely) for likely in choice.top]}
        for choice in answer.choices
    ]
    return {"content": content, "refusal": None}


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def error_body(message: str, kind: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """OpenAI's error envelope, all four keys."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
