"""OpenAI's chat completion, as far as one text model can answer it: the request checked, the answer shaped.

Source: https://platform.openai.com/docs/api-reference/chat/create
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainer import conversations, sampling, tool_calls
from trainer.sampling import Answer, BadRequest, Piece, Sampling, Token, TokenChoice

MOST_TOP_LOGPROBS = 20
ROLES = ("system", "developer", "user", "assistant", "tool")
_NEUTRAL_ONLY: dict[str, tuple[Any, ...]] = {
    "functions": (None, []),
    "function_call": (None, "none"),
    "audio": (None,),
    "modalities": (None, ["text"]),
    "reasoning_effort": (None,),
    "verbosity": (None,),
    "web_search_options": (None,),
}


_OWN = {
    *_NEUTRAL_ONLY, "logprobs", "messages", "parallel_tool_calls", "prediction", "response_format", "tool_choice",
    "tools", "top_logprobs",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ChatRequest(Sampling):
    """messages as templates take them: arguments of tool calls as objects. tools: those that may be called.

    single_call: no more than one of them in an answer.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None = None
    single_call: bool = False


def parse(body: dict[str, Any], adapter: str | None = None) -> ChatRequest:
    """Check a request body; `adapter` comes from its header.

    Raises BadRequest for the first field at fault.
    """
    sampling.refuse_unknown(body, _OWN)
    sampling.refuse_unless_neutral(body, _NEUTRAL_ONLY)
    tools, schema = _tools(body), _schema(body.get("response_format"))
    if tools and schema is not None:
        raise sampling.unsupported("response_format", "together with tools")
    return ChatRequest(
        messages=_messages(body.get("messages")),
        tools=tools,
        single_call=body.get("parallel_tool_calls") is False,
        schema=schema,
        top_logprobs=_top_logprobs(body),
        **sampling.parse(body, adapter),
    )


def _top_logprobs(body: dict[str, Any]) -> int | None:
    asked, count = sampling.boolean(body, "logprobs"), sampling.integer(body, "top_logprobs", minimum=0)
    if count is not None and not asked:
        raise BadRequest("top_logprobs needs logprobs to be true.", "top_logprobs")
    if (count or 0) > MOST_TOP_LOGPROBS:
        raise BadRequest(f"top_logprobs must be at most {MOST_TOP_LOGPROBS}.", "top_logprobs")
    return count or 0 if asked else None


def _tools(body: dict[str, Any]) -> list[dict[str, Any]] | None:
    given, choice = body.get("tools"), body.get("tool_choice")
    if not given:
        if choice not in (None, "none", "auto"):
            raise BadRequest("tool_choice needs tools.", "tool_choice")
        return None
    if not isinstance(given, list):
        raise BadRequest("tools must be a list.", "tools")
    for index, tool in enumerate(given):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            place = f"tools[{index}]"
            raise BadRequest(f'{place} must be {{"type": "function", "function": {{"name": …}}}}.', place)
    if choice not in (None, "none", "auto"):
        raise sampling.unsupported("tool_choice", "but as auto or none: this server cannot force a call")
    return None if choice == "none" else given


def _schema(given: Any) -> dict[str, Any] | None:
    if given is None or given == {"type": "text"}:
        return None
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "json_object":
        return {"type": "object"}
    schema = (given.get("json_schema") or {}).get("schema") if kind == "json_schema" else None
    if not isinstance(schema, dict):
        message = "response_format must be of type text, json_object, or json_schema with json_schema.schema."
        raise BadRequest(message, "response_format")
    return schema


def _messages(given: Any) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not given:
        raise BadRequest("messages must be a list with at least one message.", "messages")
    return [_message(message, f"messages[{index}]") for index, message in enumerate(given)]


def _message(given: Any, place: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise BadRequest(f"{place} must be an object with role and content.", place)
    role = given.get("role")
    if role not in ROLES:
        raise BadRequest(f"{place}.role must be one of {', '.join(ROLES)}; given: {role!r:.80}.", f"{place}.role")
    calls = given.get("tool_calls") if role == "assistant" else None
    content = "" if calls and given.get("content") is None else _content(given.get("content"), f"{place}.content")
    said = {"role": "system" if role == "developer" else role, "content": content}
    if calls:
        said["tool_calls"] = tool_calls.checked(calls, f"{place}.tool_calls")
    if role == "tool":
        said |= {name: given[name] for name in ("tool_call_id", "name") if isinstance(given.get(name), str)}
    # The same shape that training renders.
    return conversations.plain(said)


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


def completion(request: ChatRequest, answers: Sequence[Answer], prompt_tokens: int) -> dict[str, Any]:
    """The `chat.completion` object; answers in the order of their index."""
    return {
        "id": sampling.new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request.model,
        "choices": [_choice(request, index, answer) for index, answer in enumerate(answers)],
        "usage": sampling.usage(prompt_tokens, sum(answer.completion_tokens for answer in answers)),
    }


def _choice(request: ChatRequest, index: int, answer: Answer) -> dict[str, Any]:
    content, calls = tool_calls.found(answer.text, request.tools, single=request.single_call)
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    return {
        "index": index,
        "message": message | ({"tool_calls": calls} if calls else {}),
        "logprobs": None if answer.choices is None else {"content": _logprobs(answer.choices), "refusal": None},
        "finish_reason": "tool_calls" if calls else answer.finish_reason,
    }


class Chunks:
    """The `chat.completion.chunk` objects of one answer to a request."""

    def __init__(self, request: ChatRequest) -> None:
        self._request = request
        self._calls: dict[int, tool_calls.Buffer] = {}
        self._head = {
            "id": sampling.new_id("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": request.model,
        }

    def opening(self, index: int) -> dict[str, Any]:
        """The chunk that says who speaks."""
        return self._chunk(index, {"role": "assistant", "content": "", "refusal": None})

    def of(self, index: int, piece: Piece) -> dict[str, Any] | None:
        """What a choice has grown by; None while it may be the beginning of a call. The last one has a reason."""
        text, calls = piece.text, list[tool_calls.Call]()
        if self._request.tools:
            buffer = self._calls.setdefault(index, tool_calls.Buffer(self._request.tools, self._request.single_call))
            text, calls = buffer.grow(piece.text, final=piece.finish_reason is not None)
        told = [{"index": place, **call} for place, call in enumerate(calls)]
        delta = {"content": text} if text else {}
        if not delta and not told and piece.finish_reason is None:
            return None
        reason = "tool_calls" if calls else piece.finish_reason
        return self._chunk(index, delta | ({"tool_calls": told} if told else {}), piece.choices, reason)

    def counted(self, counts: dict[str, int]) -> dict[str, Any]:
        """The chunk without choices that has the usage."""
        return {**self._head, "choices": [], "usage": counts}

    def _chunk(
        self, index: int, delta: dict[str, Any], choices: Sequence[TokenChoice] = (), reason: str | None = None
    ) -> dict[str, Any]:
        asked = self._request.top_logprobs is not None and choices
        logprobs = {"content": _logprobs(choices), "refusal": None} if asked else None
        return {
            **self._head,
            "choices": [{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": reason}],
        }


def _logprobs(choices: Sequence[TokenChoice]) -> list[dict[str, Any]]:
    return [
        _token(choice.token, choice.logprob) | {"top_logprobs": [_token(*likely) for likely in choice.top]}
        for choice in choices
    ]


def _token(token: Token, logprob: float) -> dict[str, Any]:
    return {"token": token.text, "logprob": logprob, "bytes": list(token.bytes)}
