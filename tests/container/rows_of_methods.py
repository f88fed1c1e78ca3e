"""The demo's tickets as rows of every method."""

import json
from typing import Any

from tests.container.conftest import TICKETS

REFUSAL = "I do not know."


def supervised() -> list[str]:
    return (TICKETS / "train.jsonl").read_text().splitlines()[::3]


def preference() -> list[str]:
    return [_row(prompt, chosen=_said(answer), rejected=_said(REFUSAL)) for prompt, answer in _tickets()]


def unpaired() -> list[str]:
    return [
        _row(prompt, completion=_said(answer if index % 2 else REFUSAL), label=bool(index % 2))
        for index, (prompt, answer) in enumerate(_tickets())
    ]


ROWS = {"sft": supervised, "dpo": preference, "orpo": preference, "kto": unpaired}


def _tickets() -> list[tuple[list[dict[str, str]], str]]:
    conversations = [json.loads(line)["messages"] for line in supervised()]
    return [(messages[:-1], messages[-1]["content"]) for messages in conversations]


def _said(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


def _row(prompt: Any, **columns: Any) -> str:
    return json.dumps({"prompt": prompt, **columns})
