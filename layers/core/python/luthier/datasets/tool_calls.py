"""What tools, the calls of them and their answers must be, in the shapes of OpenAI's chat completions.

    tools         [{"type": "function", "function": {"name": "…", "description": "…", "parameters": {JSON schema}}}]
    tool_calls    [{"id": "…", "type": "function", "function": {"name": "…", "arguments": "{…}"}}]
    tool message  {"role": "tool", "tool_call_id": "…", "content": "…"}

`arguments` may also be the object itself, and `id` may be missing from all calls of a row (Hugging Face's shape).
"""

import json
from collections.abc import Generator, Iterator
from typing import Any

from luthier.datasets.findings import Fault
from luthier.datasets.texts import check_text, kind, wrong_type


def check_tools(fields: dict[str, Any], pointer: str = "") -> Iterator[Fault]:
    """The faults of `tools` and `parallel_tool_calls` beside a conversation."""
    if fields.get("functions"):
        fix = "Write each as {'type': 'function', 'function': …} in 'tools'."
        yield Fault("unsupported_key", f"{pointer}/functions", "'functions' is the old form of 'tools'.", fix)
    tools = fields.get("tools")
    if tools is not None and not isinstance(tools, list):
        yield wrong_type(f"{pointer}/tools", "a list of function definitions", tools)
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        yield from _check_tool(tool, f"{pointer}/tools/{index}")
    parallel = fields.get("parallel_tool_calls")
    if parallel is not None and not isinstance(parallel, bool):
        yield wrong_type(f"{pointer}/parallel_tool_calls", "true or false", parallel)


def _check_tool(tool: Any, pointer: str) -> Iterator[Fault]:
    function = yield from _function(tool, pointer)
    if function is None:
        return
    if not isinstance(text := function.get("description"), str | None):
        yield wrong_type(f"{pointer}/function/description", "a string", text)
    if not isinstance(parameters := function.get("parameters"), dict | None):
        yield wrong_type(f"{pointer}/function/parameters", "a JSON schema as an object", parameters)
    yield from check_text(as_json(tool), pointer, trained=False)


def check_calls(message: dict[str, Any], pointer: str) -> Iterator[Fault]:
    """The faults of a message's keys beside role and content that have to do with tools."""
    # An empty list or null says the same as leaving the key out, and exporters write both.
    if message.get("function_call"):
        text, fix = "'function_call' is the old form of 'tool_calls'.", "Write it as the one entry of 'tool_calls'."
        yield Fault("unsupported_key", f"{pointer}/function_call", text, fix)
    calls = message.get("tool_calls")
    if not calls:
        return
    if message.get("role") != "assistant":
        fix = "Give the message the role 'assistant', or drop the key."
        yield Fault("unsupported_key", f"{pointer}/tool_calls", "Only assistant messages call tools.", fix)
    elif not isinstance(calls, list):
        yield wrong_type(f"{pointer}/tool_calls", "a list of calls", calls)
    else:
        for index, call in enumerate(calls):
            yield from _check_call(call, f"{pointer}/tool_calls/{index}")


def _check_call(call: Any, pointer: str) -> Iterator[Fault]:
    function = yield from _function(call, pointer)
    if isinstance(call, dict) and not isinstance(call.get("id", ""), str):
        yield wrong_type(f"{pointer}/id", "a string", call["id"])
    if function is not None:
        yield from check_text(as_json(function.get("name")), f"{pointer}/function/name", trained=False)
        yield from _check_arguments(function.get("arguments"), f"{pointer}/function/arguments")


def _function(value: Any, pointer: str) -> Generator[Fault, None, dict[str, Any] | None]:
    """The faults that a tool and a call share; returns the function, or None if there is none to look into."""
    if not isinstance(value, dict):
        yield wrong_type(pointer, "an object with type and function", value)
        return None
    if value.get("type", "function") != "function":
        yield Fault("unsupported_tool", f"{pointer}/type", "Only functions are supported.", "Write 'function'.")
    function = value.get("function")
    if not isinstance(function, dict):
        yield wrong_type(f"{pointer}/function", "an object with the function's name", function)
        return None
    if not isinstance(name := function.get("name"), str):
        yield wrong_type(f"{pointer}/function/name", "a string", name)
    elif not name.strip():
        fix = "Write the function's name."
        yield Fault("invalid_tool_call", f"{pointer}/function/name", "The name is empty.", fix)
    return function


def _check_arguments(arguments: Any, pointer: str) -> Iterator[Fault]:
    if isinstance(arguments, dict):
        yield from check_text(as_json(arguments), pointer, trained=False)
        return
    if not isinstance(arguments, str):
        yield wrong_type(pointer, "an object, or a string that holds one as JSON", arguments)
        return
    yield from check_text(arguments, pointer, trained=False)
    fix = 'Write one JSON object, such as "{\\"city\\": \\"Paris\\"}", and "{}" where there are none.'
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError) as error:
        text = f"The arguments are not valid JSON: {getattr(error, 'msg', error)}."
        yield Fault("invalid_tool_call", pointer, text, fix)
    else:
        if not isinstance(value, dict):
            yield Fault("invalid_tool_call", pointer, f"The arguments are a JSON {kind(value)}, not an object.", fix)


def check_order(messages: list[Any], pointer: str) -> Iterator[Fault]:
    """The faults between calls and answers: an answer belongs to a call before it, by id where calls have ids."""
    ids: set[str] = set()
    called = False
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            continue
        if message.get("role") == "tool":
            yield from _check_answer(message, f"{pointer}/{index}", ids, called)
        elif isinstance(calls := message.get("tool_calls"), list):
            called = called or bool(calls)
            ids.update(call["id"] for call in calls if isinstance(call, dict) and isinstance(call.get("id"), str))


def _check_answer(message: dict[str, Any], pointer: str, ids: set[str], called: bool) -> Iterator[Fault]:
    answered = message.get("tool_call_id")
    if not called:
        fix = "Put the assistant message with the call before it."
        yield Fault("unknown_tool_call", pointer, "The tool message answers no call.", fix)
    elif answered is None and ids:
        fix = "Add the id of the call that this message answers."
        yield Fault("missing_key", f"{pointer}/tool_call_id", "The tool message has no 'tool_call_id'.", fix)
    elif answered is not None and not isinstance(answered, str):
        yield wrong_type(f"{pointer}/tool_call_id", "a string", answered)
    elif answered is not None and answered not in ids:
        fix = "Write the id of a call in an assistant message before this one."
        yield Fault("unknown_tool_call", f"{pointer}/tool_call_id", "No call before has this id.", fix)


def texts_of_tools(fields: dict[str, Any]) -> list[str]:
    """The text that a template writes for `tools`."""
    return [as_json(fields["tools"])] if fields.get("tools") else []


def texts_of_calls(message: dict[str, Any]) -> Iterator[str]:
    """The texts that a template writes for a message's calls."""
    for call in message.get("tool_calls") or ():
        yield call["function"]["name"]
        arguments = call["function"]["arguments"]
        yield arguments if isinstance(arguments, str) else as_json(arguments)


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def undeclared(messages: list[dict[str, Any]], tools: list[Any], pointer: str) -> Iterator[Fault]:
    """A fault for each call of a function that the row's tools do not declare."""
    declared = {tool["function"]["name"] for tool in tools}
    for index, message in enumerate(messages):
        for place, call in enumerate(message.get("tool_calls") or ()):
            if call["function"]["name"] not in declared:
                where = f"{pointer}/{index}/tool_calls/{place}/function/name"
                text = "The row's tools do not declare the function that is called here."
                yield Fault("undeclared_tool", where, text, "Add its definition to 'tools', or correct the name.")
