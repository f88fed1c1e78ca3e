"""Rows of every format, a template that knows tools, and a job's folders filled with rows."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from luthier.datasets.rows import Row, parse_row
from trainer.config import Data
from trainer.folders import Folders

CONVERSATION = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "My parcel is late."},
        {"role": "assistant", "content": "Sorry! Which order?"},
        {"role": "user", "content": "Order 5518."},
        {"role": "assistant", "content": "It comes on Tuesday."},
    ]
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
TOOL_USE = {
    "messages": [
        {"role": "user", "content": "Do I need a coat in Bergen?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": '{"city": "Bergen"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "8 degrees, rain"},
        {"role": "assistant", "content": "Yes, it rains."},
    ],
    "tools": [WEATHER],
}
PREFERENCE = {"prompt": "2+2?", "chosen": "4", "rejected": "5, I think"}
CHAT_PREFERENCE = {
    "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}],
    "chosen": [{"role": "assistant", "content": "4"}],
    "rejected": [{"role": "assistant", "content": "5, I think"}],
}
LONG = {"prompt": "Go on.", "completion": "and on " * 50}
LATE = {"prompt": "Go on. " * 50, "completion": "No."}
UNPAIRED = {"prompt": "2+2?", "completion": "5, I think", "label": False}
TOOL_TEMPLATE = (
    "{% if tools %}<|im_start|>system\nTools:{% for tool in tools %}\n{{ tool | tojson }}{% endfor %}<|im_end|>\n"
    "{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def row(fields: dict[str, Any]) -> Row:
    """As the validator reads it."""
    return parse_row(json.dumps(fields))


def good(number: int) -> dict[str, Any]:
    """A row unlike those of other numbers."""
    return {"prompt": f"Say {number}.", "completion": f"It is {number}."}


def lines(*rows: dict[str, Any] | str | bytes) -> bytes:
    """A file of them, one a line."""
    encoded = (one if isinstance(one, str | bytes) else json.dumps(one) for one in rows)
    return b"".join((one if isinstance(one, bytes) else one.encode()) + b"\n" for one in encoded)


def numbered(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"prompt": f"Say {number}.", "completion": f"It is {number}."} for number in range(start, start + count)]


def settings(method: str = "sft", **changes: Any) -> SimpleNamespace:
    """The parts of a job's config that reading its data depends on."""
    asked = {"max_sequence_length": 512, "validation_share": "auto", "max_truncated_share": 1.0} | changes
    seed, read = asked.pop("seed", 42), Data(**asked.pop("data", {}))
    return SimpleNamespace(method=method, seed=seed, data=read, hyperparameters=SimpleNamespace(**asked))


def fill(root: Path, rows: list[dict[str, Any]] | None, validation: list[dict[str, Any]] | None = None) -> Folders:
    """Write the rows where a job finds them."""
    folders = Folders(root)
    for folder, content in ((folders.train, rows), (folders.validation, validation)):
        if content is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{folder.name}.jsonl").write_text("".join(json.dumps(fields) + "\n" for fields in content))
    return folders
