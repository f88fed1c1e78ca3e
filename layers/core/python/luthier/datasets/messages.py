"""What a conversation must be: roles, contents, weights, and the tool calls of `tool_calls`."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from luthier.datasets.findings import Fault
from luthier.datasets.texts import brief, check_text, wrong_type
from luthier.datasets.tool_calls import check_calls, check_order

ROLES = ("system", "user", "assistant", "tool")
# The roles by the names that they have here and in other tools.
_ROLES_BY_NAME = {role: role for role in ROLES} | {
    "human": "user", "customer": "user", "gpt": "assistant", "bot": "assistant", "model": "assistant",
    "ai": "assistant", "developer": "system", "function": "tool"}  # fmt: skip
# No misspelt role is longer.
_LONGEST_NAME = 20
_PLAIN = {"role", "content"}
# Of one conversation: rendering some chat templates takes time in the square of it.
MOST_MESSAGES = 1_000


def spell_as_here(messages: Any) -> None:
    """Change what OpenAI spells in two ways to the one that is known here: a developer's message, text in parts."""
    for message in messages if isinstance(messages, list) else ():
        if not isinstance(message, dict):
            continue
        if message.get("role") == "developer":
            message["role"] = "system"
        parts = message.get("content")
        if isinstance(parts, list) and parts and all(map(_is_text_part, parts)):
            message["content"] = "".join(part["text"] for part in parts)


def _is_text_part(part: Any) -> bool:
    return (
        isinstance(part, dict)
        and part.keys() == {"type", "text"}
        and part["type"] == "text"
        and isinstance(part["text"], str)
    )


def check_messages(fields: dict[str, Any]) -> Iterator[Fault]:
    """The faults of a conversation to learn from, and of its tools."""
    messages = fields["messages"]
    yield from check_conversation(messages, "/messages")
    if isinstance(messages, list) and messages:
        replies = [m for m in messages if isinstance(m, dict) and m.get("role") == "assistant"]
        if not replies:
            fix = "Add the reply to learn as a message with role 'assistant'."
            yield Fault("no_trained_token", "/messages", "No assistant message: nothing would be trained.", fix)
        elif not any(is_trained(message) for message in replies):
            message = "Every assistant message has weight 0: nothing would be trained."
            yield Fault("no_trained_token", "/messages", message, "Give the replies to learn weight 1.")


def check_conversation(messages: Any, pointer: str) -> Iterator[Fault]:
    """The faults of a list of messages, wherever in a row it lies."""
    if not isinstance(messages, list):
        yield wrong_type(pointer, "a list of messages", messages)
    elif not messages:
        yield Fault("empty_messages", pointer, "The conversation is empty.", "Add messages or drop the line.")
    elif len(messages) > MOST_MESSAGES:
        text = f"The conversation has {len(messages)} messages; the limit is {MOST_MESSAGES}."
        yield Fault("too_many_messages", pointer, text, "Split it into several rows.")
    else:
        for index, message in enumerate(messages):
            yield from _check_message(message, f"{pointer}/{index}", index)
        yield from check_order(messages, pointer)


def is_trained(message: dict[str, Any]) -> bool:
    """Whether an assistant message carries loss: `weight` is OpenAI's, 0 or 1, and 1 where it is missing."""
    return message.get("weight") != 0


def _check_message(message: Any, pointer: str, index: int) -> Iterator[Fault]:
    if not isinstance(message, dict):
        yield wrong_type(pointer, "an object with role and content", message)
        return
    role = message.get("role")
    yield from _check_role(role, f"{pointer}/role", index)
    if message.keys() - _PLAIN:
        yield from _check_weight(message, pointer)
        yield from check_calls(message, pointer)
    if message.get("content") is not None:
        trained = role == "assistant" and is_trained(message) and not message.get("tool_calls")
        yield from check_text(message["content"], f"{pointer}/content", trained=trained)
    elif role != "assistant" or not message.get("tool_calls"):
        fix = "Add 'content' as a string."
        yield Fault("missing_content", f"{pointer}/content", "The message has no content.", fix)


def role_named(name: Any) -> str | None:
    """The role that is written in other capitals, or that other tools name so."""
    return _ROLES_BY_NAME.get(name.strip().lower()) if isinstance(name, str) else None


def _check_role(role: Any, pointer: str, index: int) -> Iterator[Fault]:
    if role is not None and not isinstance(role, str):
        yield wrong_type(pointer, "a string", role)
    elif role not in ROLES:
        fix = f"Use one of {', '.join(ROLES)}."
        if known := role_named(role):
            fix = f"Write {known!r}."
        elif isinstance(role, str) and len(role) <= _LONGEST_NAME and (likely := _role_like(role)):
            fix = f"Did you mean {likely!r}? {fix}"
        yield Fault("unknown_role", pointer, f"The role {brief(role)} is not known.", fix)
    elif role == "system" and index > 0:
        fix = "Move the system message to the front, or fold it into a user message."
        yield Fault("misplaced_system", pointer, "A system message must be the first message.", fix)


# Whoever misspells a role does so on every line.
@lru_cache(maxsize=256)
def _role_like(name: str) -> str | None:
    close = get_close_matches(name.strip().lower(), _ROLES_BY_NAME, n=1, cutoff=0.75)
    return _ROLES_BY_NAME[close[0]] if close else None


def _check_weight(message: dict[str, Any], pointer: str) -> Iterator[Fault]:
    weight = message.get("weight")
    if message.get("role") != "assistant":
        if weight not in (None, 1):
            text = "Only assistant messages are trained, so only they have a weight."
            yield Fault("unsupported_key", f"{pointer}/weight", text, "Remove 'weight'.")
    elif weight not in (None, 0, 1) or isinstance(weight, bool):
        text = f"The weight {brief(weight)} is neither 0 nor 1."
        fix = "Write 1 to train the message, 0 to leave it out of the loss."
        yield Fault("unsupported_weight", f"{pointer}/weight", text, fix)
