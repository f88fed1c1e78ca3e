import json
from typing import Any

import pytest

from luthier.datasets.rows import Row
from tests.container.rows import CHAT_PREFERENCE, CONVERSATION, PREFERENCE, TOOL_TEMPLATE, TOOL_USE, UNPAIRED, row
from trainer import encoding
from trainer.preview import Risky, preview, risk, riskiest

EVERY_FORMAT = [
    CONVERSATION,
    TOOL_USE,
    {"prompt": "2+2?", "completion": "4"},
    {"input": "2+2?", "output": "4"},
    {"text": "Once upon a time"},
    PREFERENCE,
    CHAT_PREFERENCE,
    UNPAIRED,
]


def trained(sequence: dict[str, Any]) -> list[str]:
    return [run["text"] for run in sequence["trained"]]


@pytest.mark.parametrize("fields", EVERY_FORMAT)
@pytest.mark.parametrize("max_length", [12, 512])
def test_a_preview_of_any_format_shows_what_the_examples_hold(
    tokenizer: Any, fields: dict[str, Any], max_length: int
) -> None:
    tokenizer.chat_template = TOOL_TEMPLATE
    shown = json.loads(json.dumps(preview(tokenizer, row(fields), max_length)))
    (encoded,) = encoding.encode(tokenizer, [row(fields)], max_length)
    for sequence in shown["sequences"]:
        ids, mask = sequence["tokens"]["ids"], sequence["loss_mask"]
        assert {len(column) for column in sequence["tokens"].values()} == {len(mask)}
        assert "".join(ids_text(sequence)) == sequence["text"][: sequence["tokens"]["characters"][-1][1]]
        assert sum(mask) == sum(end - start for start, end in (run["tokens"] for run in sequence["trained"]))
        for run in sequence["trained"]:
            first, end = run["characters"]
            assert sequence["text"][first:end] == run["text"]
            assert tokenizer.decode(ids[slice(*run["tokens"])]) == run["text"]
    assert sum(sum(sequence["loss_mask"]) for sequence in shown["sequences"]) == encoded.trained
    assert any(sequence["truncation"] for sequence in shown["sequences"]) == encoded.truncated


def ids_text(sequence: dict[str, Any]) -> list[str]:
    return sequence["tokens"]["strings"]


def test_a_conversation_is_trained_in_every_answer(tokenizer: Any) -> None:
    (sequence,) = preview(tokenizer, row(CONVERSATION), 512)["sequences"]
    assert trained(sequence) == ["Sorry! Which order?<|im_end|>", "It comes on Tuesday.<|im_end|>"]
    assert sequence["truncation"] is None


def test_both_answers_of_a_preference_are_shown(tokenizer: Any) -> None:
    sequences = preview(tokenizer, row(PREFERENCE), 512)["sequences"]
    assert [(sequence["part"], trained(sequence)) for sequence in sequences] == [
        ("chosen", ["4<|im_end|>"]),
        ("rejected", ["5, I think<|im_end|>"]),
    ]


def test_the_cut_is_shown_with_what_is_lost(tokenizer: Any) -> None:
    whole = preview(tokenizer, row(CONVERSATION), 512)["sequences"][0]
    start, end = whole["trained"][1]["tokens"]
    cut = preview(tokenizer, row(CONVERSATION), start + 2)["sequences"][0]
    character = whole["tokens"]["characters"][start + 2][0]
    assert cut["truncation"] == {
        "token": start + 2,
        "character": character,
        "tokens": len(whole["loss_mask"]) - start - 2,
        "trained_tokens": end - start - 2,
        "text": whole["text"][character:],
    }
    assert trained(cut)[0] == trained(whole)[0]
    assert trained(whole)[1].startswith(trained(cut)[1])
    assert cut["trained"][1]["tokens"] == [start, start + 2]


def test_the_riskiest_rows_come_first(tokenizer: Any) -> None:
    rows = {
        "none": row({"prompt": "Go on.", "completion": "and on and on"}),
        "very_long": row({"prompt": "Go on.", "completion": "and on " * 18}),
        "few_trained_tokens": row({"prompt": "Go on.", "completion": "."}),
        "truncated": row({"prompt": "Go on.", "completion": "and on " * 90}),
        "no_trained_token": row({"prompt": "Go on. " * 90, "completion": "and on"}),
    }
    measured = [measure(tokenizer, fields) for fields in rows.values()]
    assert [risky.risk for _, risky in measured] == list(rows)
    assert [risky.row for risky in riskiest(iter(measured), 5)] == list(rows.values())[::-1]
    assert [risky.risk for risky in riskiest(iter(measured), 2)] == ["no_trained_token", "truncated"]


def measure(tokenizer: Any, fields: Row, max_length: int = 60) -> tuple[encoding.Encoded, Risky]:
    (encoded,) = encoding.encode(tokenizer, [fields], max_length)
    return encoded, Risky(risk(encoded, max_length), 1, fields)
