"""What the rows of preference methods must be: a better and a worse reply, or a reply with a verdict.

Prompt and replies are strings, or messages as in TRL's conversational form. OpenAI's shape is read as the same.
"""

from collections.abc import Iterator
from typing import Any

from luthier.datasets.findings import Fault
from luthier.datasets.formats import OPENAI_PREFERENCE
from luthier.datasets.messages import check_conversation
from luthier.datasets.texts import brief, check_text, wrong_type
from luthier.datasets.tool_calls import check_tools

_PREFERRED = dict(zip(("chosen", "rejected"), OPENAI_PREFERENCE[1:], strict=True))


def check_preference(fields: dict[str, Any]) -> Iterator[Fault]:
    if is_openai(fields):
        yield from _check_openai(fields)
        return
    yield from _check_prompt(fields)
    for key in ("chosen", "rejected"):
        yield from _check_reply(fields[key], fields["prompt"], f"/{key}")


def check_unpaired(fields: dict[str, Any]) -> Iterator[Fault]:
    yield from _check_prompt(fields)
    yield from _check_reply(fields["completion"], fields["prompt"], "/completion")
    if not isinstance(label := fields["label"], bool):
        fix = "Write true for a good reply, false for a bad one."
        yield Fault("wrong_type", "/label", f"Expected true or false, found {brief(label)}.", fix)


def is_openai(fields: dict[str, Any]) -> bool:
    return all(key in fields for key in OPENAI_PREFERENCE) and "chosen" not in fields


def normal_form(fields: dict[str, Any]) -> dict[str, Any]:
    """A good row as the trainer takes it: prompt, chosen, rejected; beside a prompt of messages, replies are too."""
    if is_openai(fields):
        given = fields["input"]
        rest = {key: value for key, value in fields.items() if key not in OPENAI_PREFERENCE}
        replies = {key: fields[theirs] for key, theirs in _PREFERRED.items()}
        tools = {key: given[key] for key in ("tools", "parallel_tool_calls") if key in given}
        return {"prompt": given["messages"]} | replies | tools | rest
    if isinstance(fields["prompt"], str):
        return fields
    replies = {key: fields[key] for key in ("chosen", "rejected", "completion") if isinstance(fields.get(key), str)}
    return fields | {key: [{"role": "assistant", "content": text}] for key, text in replies.items()}


def _check_prompt(fields: dict[str, Any]) -> Iterator[Fault]:
    if isinstance(fields["prompt"], list):
        yield from check_conversation(fields["prompt"], "/prompt")
        yield from check_tools(fields)
    else:
        yield from check_text(fields["prompt"], "/prompt", trained=False)


def _check_openai(fields: dict[str, Any]) -> Iterator[Fault]:
    given = fields["input"]
    if not isinstance(given, dict):
        yield wrong_type("/input", "an object with messages", given)
    elif "messages" not in given:
        fix = "Add 'messages' as a list."
        yield Fault("missing_key", "/input/messages", "The input has no 'messages'.", fix)
    else:
        yield from check_conversation(given["messages"], "/input/messages")
        yield from check_tools(given, "/input")
    for key in _PREFERRED.values():
        yield from _check_replies(fields[key], f"/{key}")


def _check_reply(reply: Any, prompt: Any, pointer: str) -> Iterator[Fault]:
    if not isinstance(reply, list):
        yield from check_text(reply, pointer, trained=True)
    elif isinstance(prompt, str):
        fix = "Write the prompt as a list of messages too, or the reply as a string."
        yield Fault("wrong_type", pointer, "The reply is a list of messages, the prompt is a string.", fix)
    else:
        yield from _check_replies(reply, pointer)


def _check_replies(messages: Any, pointer: str) -> Iterator[Fault]:
    """The faults of a reply as messages: they are the assistant's only, what came before belongs into the prompt."""
    if not isinstance(messages, list):
        yield wrong_type(pointer, "a list with the assistant's message", messages)
        return
    if not messages:
        yield Fault("no_trained_token", pointer, "The reply is empty: nothing would be trained.", "Add the reply.")
        return
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if role in ("system", "user", "tool"):
            fix = "Move what comes before the reply into the prompt."
            text = f"A reply has only the assistant's messages, not the role {brief(role)}."
            yield Fault("misplaced_role", f"{pointer}/{index}/role", text, fix)
            return
    yield from check_conversation(messages, pointer)
