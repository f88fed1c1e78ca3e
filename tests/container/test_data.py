import json
from pathlib import Path
from typing import Any

import pytest

from trainer import data
from trainer.failures import Failure
from trainer.templates import PLAIN_TEMPLATE

CONVERSATION = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "My parcel is late."},
        {"role": "assistant", "content": "Sorry! Which order?"},
        {"role": "user", "content": "Order 5518."},
        {"role": "assistant", "content": "It comes on Tuesday."},
    ]
}
MARKED = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] }}<|im_end|>{% endgeneration %}{% else %}{{ message['content'] }}<|im_end|>"
    "{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Shows a thought before the last answer only, as reasoning models do.
FORGETFUL = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['role'] == 'assistant' and loop.last %}[thought]{% endif %}{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def read(folder: Path, tokenizer: Any, *rows: dict[str, Any], max_length: int = 512) -> data.Examples:
    (folder / "train.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    examples = data.read(folder, tokenizer, max_length)
    assert examples is not None
    return examples


def trained(examples: data.Examples, tokenizer: Any) -> list[str]:
    return [tokenizer.decode([label for label in labels if label >= 0]) for labels in examples.labels]


def test_only_what_the_assistant_says_is_trained_in_every_turn(tmp_path: Path, tokenizer: Any) -> None:
    examples = read(tmp_path, tokenizer, CONVERSATION)
    assert trained(examples, tokenizer) == ["Sorry! Which order?<|im_end|>It comes on Tuesday.<|im_end|>"]
    assert tokenizer.decode(examples.input_ids[0]).startswith("<|im_start|>system\nBe brief.<|im_end|>")


def test_marks_in_the_template_decide_what_is_trained(tmp_path: Path, tokenizer: Any) -> None:
    unmarked = read(tmp_path, tokenizer, CONVERSATION)
    tokenizer.chat_template = MARKED
    marked = read(tmp_path, tokenizer, CONVERSATION)
    assert marked.labels[0].tolist() == unmarked.labels[0].tolist()


def test_a_template_that_rewrites_earlier_turns_gives_one_example_per_turn(tmp_path: Path, tokenizer: Any) -> None:
    tokenizer.chat_template = FORGETFUL
    examples = read(tmp_path, tokenizer, CONVERSATION)
    assert (examples.rows, len(examples)) == (1, 2)
    assert trained(examples, tokenizer) == [
        "[thought]Sorry! Which order?<|im_end|>",
        "[thought]It comes on Tuesday.<|im_end|>",
    ]


@pytest.mark.parametrize(("asked", "answered"), [("prompt", "completion"), ("input", "output")])
def test_pairs_are_rendered_as_a_conversation(tmp_path: Path, tokenizer: Any, asked: str, answered: str) -> None:
    examples = read(tmp_path, tokenizer, {asked: "2+2?", answered: "4"})
    assert trained(examples, tokenizer) == ["4<|im_end|>"]
    assert tokenizer.decode(examples.input_ids[0]).startswith("<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant")


def test_plain_text_is_trained_as_a_whole_and_taught_to_end(tmp_path: Path, tokenizer: Any) -> None:
    examples = read(tmp_path, tokenizer, {"text": "Once upon a time"})
    assert trained(examples, tokenizer) == ["Once upon a time<|im_end|>"]


def test_pairs_work_without_a_chat_template(tmp_path: Path, tokenizer: Any) -> None:
    tokenizer.chat_template = None
    examples = read(tmp_path, tokenizer, {"prompt": "2+2=", "completion": "4"})
    assert tokenizer.decode(examples.input_ids[0]) == "2+2=4<|im_end|>"
    assert tokenizer.chat_template == PLAIN_TEMPLATE


def test_conversations_need_a_chat_template(tmp_path: Path, tokenizer: Any) -> None:
    tokenizer.chat_template = None
    with pytest.raises(Failure) as caught:
        read(tmp_path, tokenizer, CONVERSATION)
    assert caught.value.code == "template_missing"


def test_a_row_that_the_template_refuses_is_named(tmp_path: Path, tokenizer: Any) -> None:
    tokenizer.chat_template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    with pytest.raises(Failure, match=r"train.jsonl line 1: .* no system"):
        read(tmp_path, tokenizer, CONVERSATION)


def test_long_rows_are_cut_and_counted_and_dropped_when_no_answer_is_left(tmp_path: Path, tokenizer: Any) -> None:
    long_answer = {"prompt": "Go on.", "completion": "and on " * 50}
    long_question = {"prompt": "Go on. " * 50, "completion": "No."}
    examples = read(tmp_path, tokenizer, long_answer, long_question, {"prompt": "a", "completion": "b"}, max_length=40)
    assert (examples.truncated, examples.dropped, len(examples)) == (2, 1, 2)
    assert max(len(ids) for ids in examples.input_ids) == 40


def test_a_file_whose_answers_are_all_out_of_reach_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    with pytest.raises(Failure, match="max_sequence_length 40") as caught:
        read(tmp_path, tokenizer, {"prompt": "Go on. " * 50, "completion": "No."}, max_length=40)
    assert caught.value.code == "bad_dataset"


def test_formats_must_not_be_mixed(tmp_path: Path, tokenizer: Any) -> None:
    with pytest.raises(Failure, match=r"train.jsonl line 2: .*began with messages"):
        read(tmp_path, tokenizer, CONVERSATION, {"prompt": "a", "completion": "b"})


def test_a_channel_without_files_is_none(tmp_path: Path, tokenizer: Any) -> None:
    assert data.read(tmp_path / "validation", tokenizer, 512) is None
