import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.container.rows import CHAT_PREFERENCE, CONVERSATION, PREFERENCE, UNPAIRED, fill, lines, numbered, settings
from trainer import data, split
from trainer.failures import Failure
from trainer.templates import PLAIN_TEMPLATE

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


def read(folder: Path, tokenizer: Any, *rows: dict[str, Any], method: str = "sft", **changes: Any) -> data.Examples:
    train, validation = data.load(fill(folder, list(rows)), tokenizer, settings(method, **changes))
    assert validation is None
    return train


def trained(examples: data.Examples, tokenizer: Any) -> list[str]:
    return [tokenizer.decode([label for label in labels if label >= 0]) for labels in examples.dataset["labels"]]


def test_only_what_the_assistant_says_is_trained_in_every_turn(tmp_path: Path, tokenizer: Any) -> None:
    examples = read(tmp_path, tokenizer, CONVERSATION)
    assert trained(examples, tokenizer) == ["Sorry! Which order?<|im_end|>It comes on Tuesday.<|im_end|>"]
    assert tokenizer.decode(examples.dataset[0]["input_ids"]).startswith("<|im_start|>system\nBe brief.<|im_end|>")


def test_marks_in_the_template_decide_what_is_trained(tmp_path: Path, tokenizer: Any) -> None:
    unmarked = read(tmp_path, tokenizer, CONVERSATION)
    tokenizer.chat_template = MARKED
    marked = read(tmp_path, tokenizer, CONVERSATION)
    assert marked.dataset[0] == unmarked.dataset[0]


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
    assert tokenizer.decode(examples.dataset[0]["input_ids"]).startswith(
        "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant"
    )


def test_plain_text_is_trained_as_a_whole_and_taught_to_end(tmp_path: Path, tokenizer: Any) -> None:
    examples = read(tmp_path, tokenizer, {"text": "Once upon a time"})
    assert trained(examples, tokenizer) == ["Once upon a time<|im_end|>"]


def test_pairs_work_without_a_chat_template(tmp_path: Path, tokenizer: Any) -> None:
    tokenizer.chat_template = None
    examples = read(tmp_path, tokenizer, {"prompt": "2+2=", "completion": "4"})
    assert tokenizer.decode(examples.dataset[0]["input_ids"]) == "2+2=4<|im_end|>"
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
    examples = read(
        tmp_path, tokenizer, long_answer, long_question, {"prompt": "a", "completion": "b"}, max_sequence_length=40
    )
    assert (examples.truncated, examples.dropped, len(examples)) == (2, 1, 2)
    assert max(len(ids) for ids in examples.dataset["input_ids"]) == examples.longest == 40


def test_a_file_whose_answers_are_all_out_of_reach_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    with pytest.raises(Failure, match="max_sequence_length 40") as caught:
        read(tmp_path, tokenizer, {"prompt": "Go on. " * 50, "completion": "No."}, max_sequence_length=40)
    assert caught.value.code == "bad_dataset"


def test_formats_must_not_be_mixed(tmp_path: Path, tokenizer: Any) -> None:
    with pytest.raises(Failure, match=r"train.jsonl line 2: .*began with messages"):
        read(tmp_path, tokenizer, CONVERSATION, {"prompt": "a", "completion": "b"})


def test_a_job_without_training_rows_is_refused(tmp_path: Path, tokenizer: Any) -> None:
    with pytest.raises(Failure, match="train channel") as caught:
        data.load(fill(tmp_path, None), tokenizer, settings())
    assert caught.value.code == "bad_dataset"


def test_the_files_of_a_channel_must_agree(tmp_path: Path, tokenizer: Any) -> None:
    folders = fill(tmp_path, numbered(1))
    (folders.train / "more.jsonl").write_text(json.dumps(CONVERSATION))
    with pytest.raises(Failure, match=r"more.jsonl has the format messages, train.jsonl has the format prompt_comple"):
        data.load(folders, tokenizer, settings())


@pytest.mark.parametrize(
    ("method", "row", "found"),
    [("dpo", UNPAIRED, "unpaired"), ("sft", PREFERENCE, "preference"), ("kto", CONVERSATION, "messages")],
)
def test_columns_of_another_method_are_refused_by_name(
    tmp_path: Path, tokenizer: Any, method: str, row: dict[str, Any], found: str
) -> None:
    with pytest.raises(Failure, match=f"train.jsonl line 1: Method {method} takes rows with .*{found}") as caught:
        read(tmp_path, tokenizer, row, method=method)
    assert caught.value.code == "bad_dataset"


def test_warnings_of_the_validator_do_not_stop_a_run(tmp_path: Path, tokenizer: Any) -> None:
    assert len(read(tmp_path, tokenizer, *numbered(2), *numbered(2))) == 4


def test_rows_that_the_template_shows_nothing_of_are_refused_by_line(tmp_path: Path, tokenizer: Any) -> None:
    # Shows only what follows the thinking, as templates of reasoning models do.
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{{ message['content'] }}<|im_end|>",
        "{{ message['content'].split('</think>')[-1] }}{% if message['role'] == 'user' %}<|im_end|>{% endif %}",
    )
    empty = {"prompt": "a", "completion": "<think>hm</think>"}
    with pytest.raises(Failure, match=r"Rows without a token to train on: train.jsonl line 2, train.jsonl line 4\.$"):
        read(tmp_path, tokenizer, *numbered(1), empty, *numbered(1), empty)


def test_too_many_cut_rows_stop_the_run_with_counts(tmp_path: Path, tokenizer: Any) -> None:
    long = {"prompt": "Go on. " * 50, "completion": "No."}
    asked = {"max_sequence_length": 40, "max_truncated_share": 0.3}
    assert read(tmp_path / "few", tokenizer, *numbered(7), long, long, long, **asked).truncated == 3
    with pytest.raises(Failure, match="3 of 9 rows of train are longer than max_sequence_length 40; 3 of") as caught:
        read(tmp_path / "many", tokenizer, *numbered(6), long, long, long, **asked)
    assert "max_truncated_share 0.3" in caught.value.hint


@pytest.mark.parametrize("method", ["dpo", "orpo"])
@pytest.mark.parametrize("given", [PREFERENCE, CHAT_PREFERENCE])
def test_preferences_become_a_prompt_and_two_answers(
    tmp_path: Path, tokenizer: Any, method: str, given: dict[str, Any]
) -> None:
    examples = read(tmp_path, tokenizer, given, method=method)
    (example,) = examples.dataset
    assert list(example) == ["prompt_ids", "chosen_ids", "rejected_ids"]
    assert tokenizer.decode(example["prompt_ids"]).endswith("2+2?<|im_end|>\n<|im_start|>assistant\n")
    assert tokenizer.decode(example["chosen_ids"]) == "4<|im_end|>"
    assert tokenizer.decode(example["rejected_ids"]) == "5, I think<|im_end|>"
    prompt, chosen, rejected = map(len, example.values())
    assert (examples.tokens, examples.trained) == (2 * prompt + chosen + rejected, chosen + rejected)
    assert examples.longest == prompt + rejected


def test_unpaired_rows_become_a_prompt_a_completion_and_a_label(tmp_path: Path, tokenizer: Any) -> None:
    examples = read(tmp_path, tokenizer, UNPAIRED, {**UNPAIRED, "label": True}, method="kto")
    assert list(examples.dataset[0]) == ["prompt_ids", "completion_ids", "label"]
    assert tokenizer.decode(examples.dataset[0]["completion_ids"]) == "5, I think<|im_end|>"
    assert list(examples.dataset["label"]) == [False, True]


def test_the_trainers_collators_take_the_columns_as_they_are(tmp_path: Path, tokenizer: Any) -> None:
    from trl.trainer.dpo_trainer import DataCollatorForPreference
    from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

    pairs = read(tmp_path / "dpo", tokenizer, PREFERENCE, CHAT_PREFERENCE, method="dpo")
    batch = DataCollatorForPreference(pad_token_id=0)([pairs.dataset[index] for index in range(2)])
    assert batch["completion_mask"].sum() == pairs.trained
    assert batch["attention_mask"].sum() == pairs.tokens
    single = read(tmp_path / "kto", tokenizer, UNPAIRED, {**UNPAIRED, "label": True}, method="kto")
    batch = DataCollatorForUnpairedPreference(pad_token_id=0)([single.dataset[index] for index in range(2)])
    assert batch["completion_mask"].sum() == single.trained


def test_a_token_that_reaches_from_the_prompt_into_one_answer_belongs_to_the_answers(
    tmp_path: Path, tokenizer: Any
) -> None:
    tokenizer.chat_template = None
    # "ticket" is one token of this tokenizer, "tic" and what follows are others.
    examples = read(tmp_path, tokenizer, {"prompt": "the tic", "chosen": "ket", "rejected": "!"}, method="dpo")
    (example,) = examples.dataset
    texts = [tokenizer.decode(example["prompt_ids"] + example[name]) for name in ("chosen_ids", "rejected_ids")]
    assert texts == ["the ticket<|im_end|>", "the tic!<|im_end|>"]
    assert example["chosen_ids"][:1] != example["rejected_ids"][:1]


def test_long_answers_of_preferences_are_cut_and_those_out_of_reach_dropped(tmp_path: Path, tokenizer: Any) -> None:
    long = {"prompt": "Say.", "chosen": "and on " * 50, "rejected": "No."}
    late = {"prompt": "Say. " * 50, "chosen": "Yes.", "rejected": "No."}
    alike = {"prompt": "Say.", "chosen": "and on " * 50 + "A", "rejected": "and on " * 50 + "B"}
    examples = read(tmp_path, tokenizer, long, late, alike, method="dpo", max_sequence_length=40)
    assert (examples.truncated, examples.dropped, len(examples)) == (3, 2, 1)
    assert len(examples.dataset[0]["prompt_ids"]) + len(examples.dataset[0]["chosen_ids"]) == 40


@pytest.mark.parametrize("method", ["dpo", "orpo"])
@pytest.mark.parametrize("rejected", ["4", "4 \n"])
def test_pairs_that_are_all_alike_are_refused_as_such(
    tmp_path: Path, tokenizer: Any, method: str, rejected: str
) -> None:
    tokenizer.chat_template = tokenizer.chat_template.replace("message['content']", "message['content'] | trim")
    with pytest.raises(
        Failure, match="In every row of train the chosen reply and the rejected one are the same"
    ) as caught:
        read(tmp_path, tokenizer, {**PREFERENCE, "rejected": rejected}, method=method)
    assert caught.value.code == "bad_dataset"
    assert "replies that differ" in caught.value.hint


def test_pairs_that_are_alike_among_others_are_left_out_with_a_warning(
    tmp_path: Path, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    alike = {"prompt": "a", "chosen": "b", "rejected": "b"}
    examples = read(tmp_path, tokenizer, PREFERENCE, alike, method="dpo")
    assert (examples.dropped, examples.alike, len(examples)) == (1, 1, 1)
    assert '"alike": 1' in capsys.readouterr().out


def test_a_file_of_pairs_that_are_alike_or_out_of_reach_is_refused_with_both_reasons(
    tmp_path: Path, tokenizer: Any
) -> None:
    late = {"prompt": "Say. " * 50, "chosen": "Yes.", "rejected": "No."}
    with pytest.raises(
        Failure, match="In 1 of 2 rows of train the chosen reply and the rejected one are the same, no o"
    ):
        read(tmp_path, tokenizer, late, {**PREFERENCE, "rejected": "4"}, method="dpo", max_sequence_length=40)


def test_rows_are_held_out_when_there_is_no_validation_file(tmp_path: Path, tokenizer: Any) -> None:
    rows = numbered(60)
    train, validation = data.load(fill(tmp_path, rows), tokenizer, settings())
    assert validation is not None
    assert (train.rows, validation.rows) == (54, 6)
    held_out = [row.fields for row in data.held_out(fill(tmp_path, rows), settings())]
    assert [tokenizer.decode(ids) for ids in validation.dataset["input_ids"]] == [
        f"<|im_start|>user\n{row['prompt']}<|im_end|>\n<|im_start|>assistant\n{row['completion']}<|im_end|>\n"
        for row in held_out
    ]
    assert held_out == [row for row in rows if row in held_out]


def test_the_held_out_rows_depend_on_content_and_seed_only(tmp_path: Path) -> None:
    def held_out(name: str, rows: list[dict[str, Any]], seed: int = 42) -> list[str]:
        folders = fill(tmp_path / name, rows)
        return sorted(row.fields["prompt"] for row in data.held_out(folders, settings(seed=seed)))

    rows = numbered(100)
    spelled = [{"note": "kept apart", "completion": row["completion"], "prompt": row["prompt"]} for row in rows]
    first = held_out("first", rows)
    assert held_out("turned", rows[::-1]) == held_out("spelled", spelled) == first
    assert held_out("seeded", rows, seed=43) != first


def test_equal_rows_stay_on_one_side(tmp_path: Path) -> None:
    rows = numbered(40) * 5
    folders = fill(tmp_path, rows)
    held_out = [row.fields["prompt"] for row in data.held_out(folders, settings())]
    assert 0 < len(held_out) <= 20
    assert all(held_out.count(prompt) == 5 for prompt in held_out)


@pytest.mark.parametrize(
    ("rows", "share", "count"),
    [(49, "auto", 0), (50, "auto", 5), (5_000, "auto", 500), (50_000, "auto", 1_000), (10, 0.25, 2), (60, 0.0, 0)],
)
def test_the_held_out_share_follows_the_number_of_rows(rows: int, share: float | str, count: int) -> None:
    assert split.held_out_rows(rows, share) == count


def test_validation_rows_that_are_also_trained_on_are_counted(
    tmp_path: Path, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = fill(tmp_path, numbered(10), validation=numbered(5, start=7))
    train, validation = data.load(folders, tokenizer, settings())
    assert validation is not None
    assert (train.rows, validation.rows, validation.overlap) == (10, 5, 3)
    warning = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (warning["level"], warning["overlap"]) == ("warning", 3)
    assert next(row.fields["prompt"] for row in data.held_out(folders, settings())) == "Say 7."


def counted(examples: data.Examples, tokenizer: Any) -> Counter[str]:
    return Counter(answer.removesuffix("<|im_end|>") for answer in trained(examples, tokenizer))


def test_a_files_rows_are_trained_on_as_often_as_it_weighs(tmp_path: Path, tokenizer: Any) -> None:
    folders = fill(tmp_path, numbered(40))
    (folders.train / "train-02.jsonl").write_bytes(lines(*numbered(40, start=100)))
    (folders.train / "train-03.jsonl").write_bytes(lines(*numbered(40, start=200)))
    weights = {"train-02.jsonl": 2.5, "train-03.jsonl": 0.25}
    asked = settings(validation_share=0.0, data={"weights": weights})
    examples, _ = data.load(folders, tokenizer, asked)
    times = counted(examples, tokenizer)
    assert {times[f"It is {number}."] for number in range(40)} == {1}
    assert {times[f"It is {number}."] for number in range(100, 140)} == {2, 3}
    assert 10 <= sum(times[f"It is {number}."] - 2 for number in range(100, 140)) <= 30
    assert 4 <= sum(times[f"It is {number}."] for number in range(200, 240)) <= 18


def test_what_is_held_out_of_a_mixture_is_trained_on_not_even_once(tmp_path: Path, tokenizer: Any) -> None:
    folders = fill(tmp_path, numbered(60))
    asked = settings(validation_share=0.2, data={"weights": {"train.jsonl": 3}})
    examples, held_out = data.load(folders, tokenizer, asked)
    assert held_out
    learned, kept = counted(examples, tokenizer), counted(held_out, tokenizer)
    assert set(learned.values()) == {3}
    assert set(kept.values()) == {1}
    assert not learned.keys() & kept.keys()


def test_bad_lines_are_skipped_up_to_the_share_that_is_tolerated(tmp_path: Path, tokenizer: Any) -> None:
    folders = fill(tmp_path, None)
    folders.train.mkdir(parents=True)
    bad = ("not json", {"text": "Another format."}, b"\xff\xfe", {"prompt": "No answer."})
    (folders.train / "train.jsonl").write_bytes(lines(*numbered(2), *bad, *numbered(2, start=2)))
    for share in (0.0, 0.49):
        with pytest.raises(Failure, match=r"train\.jsonl line 3"):
            data.load(folders, tokenizer, settings(data={"invalid_share": share}))
    examples, _ = data.load(folders, tokenizer, settings(data={"invalid_share": 0.5}))
    assert sorted(counted(examples, tokenizer)) == [f"It is {number}." for number in range(4)]
