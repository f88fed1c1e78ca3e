"""The formats of rows, told apart by their keys, and which of them each training method takes.

    messages           {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}
    prompt_completion  {"prompt": "…", "completion": "…"}
    input_output       {"input": "…", "output": "…"}
    text               {"text": "…"}
    preference         {"prompt": "…", "chosen": "…", "rejected": "…"}
    unpaired           {"prompt": "…", "completion": "…", "label": true}

A file keeps to one. The last two are TRL's (dataset_formats, "Which dataset type to use?"): their texts may also be
messages, and a preference may have OpenAI's shape, {"input": {"messages": […]}, "preferred_output": […],
"non_preferred_output": […]}.
"""

from typing import Any

from luthier.datasets.findings import Fault
from luthier.datasets.json_objects import SAMPLE_ROW
from luthier.datasets.texts import brief, listed

FORMATS: dict[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "prompt_completion": ("prompt", "completion"),
    "input_output": ("input", "output"),
    "text": ("text",),
    "preference": ("prompt", "chosen", "rejected"),
    "unpaired": ("prompt", "completion", "label"),
}
# Keys that a format may have besides.
OPTIONAL_KEYS: dict[str, tuple[str, ...]] = dict.fromkeys(
    ("messages", "preference", "unpaired"), ("tools", "parallel_tool_calls")
)
FORMATS_OF_METHOD: dict[str, tuple[str, ...]] = {
    "sft": ("messages", "prompt_completion", "input_output", "text"),
    "dpo": ("preference",),
    "orpo": ("preference",),
    "kto": ("unpaired",),
}
OPENAI_PREFERENCE = ("input", "preferred_output", "non_preferred_output")
# Every set of keys that makes a row, in the order in which an incomplete row is compared with them.
_SHAPES = [*FORMATS.items(), ("preference", OPENAI_PREFERENCE)]
# Keys of formats in wide use elsewhere, which would otherwise be dropped in silence beside input and output.
_FOREIGN_KEYS = {
    "instruction": "Join instruction and input into 'prompt' and rename 'output' to 'completion'.",
    "conversations": "Rename 'conversations' to 'messages', 'from' to 'role' and 'value' to 'content'.",
}


def format_of(fields: dict[str, Any], method: str | None = None) -> str:
    """The format that a row's keys give away; with a method, one that the method takes. Raises Fault."""
    complete = _complete(fields, method)
    taken = [form for form in complete if form in FORMATS_OF_METHOD[method]] if method else complete
    for key, fix in _FOREIGN_KEYS.items():
        if key in fields and not {"messages", "preference"} & set(taken):
            raise Fault("unknown_format", f"/{key}", f"The key {key!r} belongs to another format.", fix)
    if len(taken) == 1:
        return taken[0]
    if len(taken) > 1:
        message = f"The row has the keys of several formats: {', '.join(taken)}."
        raise Fault("ambiguous_format", "", message, "Keep the keys of one format.")
    if method and complete:
        raise wrong_columns(method, complete[0])
    raise _incomplete(fields, method)


def wrong_columns(method: str, form: str) -> Fault:
    """Says that a method does not take the rows of a format, which it does not: form is not in FORMATS_OF_METHOD."""
    wanted = columns_of(method)
    message = f"Method {method} takes rows with {wanted}; found {_columns(form)} (format {form})."
    methods = [name for name, forms in FORMATS_OF_METHOD.items() if form in forms]
    return Fault("wrong_columns", "", message, f"Write rows with {wanted}, or train with {listed(methods, 'or')}.")


def mixed_formats(form: str, first: str) -> Fault:
    """Says that a row has another format than the file's first one."""
    fix = f"Rewrite the row as {first}, or put it into a file of its own."
    return Fault("mixed_formats", "", f"The row has the format {form}, the file began with {first}.", fix)


def columns_of(method: str) -> str:
    """The columns that a method takes, in words."""
    return listed([_columns(form) for form in FORMATS_OF_METHOD[method]], "or")


def _columns(form: str) -> str:
    words = listed(list(FORMATS[form]))
    return f"{words} (true or false)" if form == "unpaired" else words


def _complete(fields: dict[str, Any], method: str | None) -> list[str]:
    found = list(dict.fromkeys(form for form, keys in _SHAPES if all(key in fields for key in keys)))
    if "unpaired" in found:
        # Without a method, a label that is no truth value is somebody's own column beside prompt and completion.
        labelled = isinstance(fields["label"], bool) or method == "kto"
        found.remove("prompt_completion" if labelled else "unpaired")
    return found


def _incomplete(fields: dict[str, Any], method: str | None) -> Fault:
    """What to say about a row without all keys of any format: which one it lacks, or that it has none."""
    shapes = [(form, keys) for form, keys in _SHAPES if not method or form in FORMATS_OF_METHOD[method]]
    _, keys = max(shapes, key=lambda shape: sum(key in fields for key in shape[1] if key != "label"))
    missing = [key for key in keys if key not in fields]
    present = [key for key in keys if key in fields and key != "label"]
    if present and missing:
        message = f"The row has {present[0]!r} but no {missing[0]!r}."
        return Fault("missing_key", f"/{missing[0]}", message, f"Add {missing[0]!r}{_KINDS.get(missing[0], '')}.")
    found = ", ".join(map(brief, list(fields)[:8])) or "no keys"
    if method:
        message = f"Method {method} takes rows with {columns_of(method)}; found {found}."
        return Fault("wrong_columns", "", message, f"Write rows with {columns_of(method)}.")
    return Fault("unknown_format", "", f"No known format has these keys: {found}.", f"Write rows like {SAMPLE_ROW}.")


_KINDS = {"prompt": " as a string", "completion": " as a string", "input": " as a string", "output": " as a string",
          "chosen": " as a string", "rejected": " as a string", "label": ": true for a good reply, false for a bad one",
          "preferred_output": " as a list with the better reply",
          "non_preferred_output": " as a list with the worse reply"}  # fmt: skip
