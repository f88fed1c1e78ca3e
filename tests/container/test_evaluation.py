import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from luthier.datasets.rows import Row, parse_row
from tests.container.conftest import TICKETS, MakeRoot
from tests.container.programs import run
from trainer import config, data
from trainer.evaluation import comparison, leakage, report, text_metrics, versions
from trainer.evaluation.batches import batches
from trainer.evaluation.generation import evaluate_generation
from trainer.evaluation.likelihood import evaluate_likelihood
from trainer.folders import Folders

HELD_OUT = [parse_row(line) for line in (TICKETS / "heldout.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def model(tiny: Path, tuned: Path) -> Any:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    return PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), tuned / "model")


@pytest.fixture(scope="module")
def both(model: Any) -> versions.Versions:
    return versions.of_adapter(model)


@pytest.fixture
def examples(tuned: Path, tokenizer: Any) -> data.Examples:
    _, validation = data.load(Folders(tuned), tokenizer, config.load(Folders(tuned).job_config))
    assert validation is not None
    return validation


def dataset(**columns: list[Any]) -> Any:
    from datasets import Dataset

    return Dataset.from_dict(columns)


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("Paris", " Paris\n", 1),
        ("paris", "Paris", 0),
        ('{"b": 1.0, "a": [true]}', '{"a":[true],"b":1}', 1),
        ('{"a": 1}', '{"a": true}', 0),
        ('{"a": 1}', '{"a": "1"}', 0),
        ('{"a": 123456789012345678901}', '{"a": 123456789012345678902}', 0),
        ('{"a": 1', '{"a": 1}', 0),
        ("[NaN]", "[NaN ]", 0),
        ("[" * 100_000, "[]", 0),
        ("1e9999999999999999999", "1", 0),
    ],
)
def test_answers_match_exactly_when_they_are_the_same_text_or_the_same_json(
    answer: str, reference: str, expected: float
) -> None:
    assert text_metrics.exact_match(answer, reference) == expected


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        # Of three words one is shared with two: precision 1/3, recall 1/2.
        ("The big red dog.", "a dog barked", 0.4),
        ("dog dog", "dog", 2 / 3),
        ("", "the", 1.0),
        ("cat", "the", 0.0),
        ("cat", "dog", 0.0),
    ],
)
def test_f1_is_squads(answer: str, reference: str, expected: float) -> None:
    assert text_metrics.f1(answer, reference) == pytest.approx(expected)


def test_bleu_is_that_of_the_corpus_and_says_how_it_was_computed() -> None:
    # 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 quadruples; no brevity penalty.
    expected = 100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25
    assert text_metrics.bleu(["the cat sat down here"], ["the cat sat down there"]) == pytest.approx(expected)
    assert text_metrics.bleu_signature().startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_batches_are_of_like_length_and_hold_every_example_once() -> None:
    found = batches([5, 900, 4, 6, 7], tokens=20)
    assert found == [[2, 0, 3], [4], [1]]
    assert max(map(len, batches([1] * 100))) == 32


def test_the_tuned_model_answers_better_than_its_base(both: versions.Versions, tokenizer: Any) -> None:
    found = evaluate_generation(both, tokenizer, HELD_OUT, max_examples=20, max_new_tokens=24)
    assert (found["answered"], found["too_long"], found["complete"]) == (20, 0, True)
    assert found["base"]["valid_json"] == 0 < found["tuned"]["valid_json"]
    assert found["base"]["f1"] < found["tuned"]["f1"]
    assert found["base"]["bleu"] < found["tuned"]["bleu"]


def test_each_answer_is_that_of_the_model_asked_alone_and_is_scored_by_hand(
    both: versions.Versions, model: Any, tokenizer: Any
) -> None:
    found = evaluate_generation(both, tokenizer, HELD_OUT, max_examples=6, max_new_tokens=24)
    assert [record["row"] for record in found["records"]] == sorted(record["row"] for record in found["records"])
    for record in found["records"]:
        messages = HELD_OUT[record["row"]].fields["messages"]
        assert record["reference"] == messages[-1]["content"]
        assert record["tuned"] == alone(model, tokenizer, messages[:-1])
        with model.disable_adapter():
            assert record["base"] == alone(model, tokenizer, messages[:-1])
    matches = [same_json(record["tuned"], record["reference"]) for record in found["records"]]
    assert found["tuned"]["exact_match"] == pytest.approx(sum(matches) / 6)
    assert [record["scores"]["tuned"]["exact_match"] for record in found["records"]] == matches


def alone(model: Any, tokenizer: Any, messages: list[dict[str, str]]) -> str:
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.eval().generate(**inputs, max_new_tokens=24, do_sample=False)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def same_json(answer: str, reference: str) -> bool:
    try:
        return json.loads(answer) == json.loads(reference)
    except ValueError:
        return False


def test_numbers_repeat(both: versions.Versions, tokenizer: Any, examples: data.Examples) -> None:
    def judge() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        return comparison.evaluate(
            both, tokenizer, dataset=examples.dataset, rows=HELD_OUT, max_examples=8, max_new_tokens=8
        )

    assert judge() == judge()


def test_the_examples_are_a_fixed_choice_from_the_whole_file(both: versions.Versions, tokenizer: Any) -> None:
    def chosen(rows: list[Row]) -> set[str]:
        found = evaluate_generation(both, tokenizer, rows, max_examples=5, max_new_tokens=1)
        return {record["prompt"] for record in found["records"]}

    assert chosen(HELD_OUT) == chosen(HELD_OUT[::-1])
    assert len(chosen(HELD_OUT)) == 5


def test_rows_without_a_reference_and_prompts_without_room_are_not_judged(
    both: versions.Versions, tokenizer: Any
) -> None:
    rows = [
        Row("text", {"text": "Only to read."}),
        Row("prompt_completion", {"prompt": "word " * 600, "completion": "long"}),
        Row("input_output", {"input": "Hello", "output": "Good day"}),
    ]
    found = evaluate_generation(both, tokenizer, rows, max_examples=9, max_new_tokens=4)
    assert (found["answered"], found["too_long"]) == (1, 1)
    assert found["records"][0]["row"] == 2
    assert "valid_json" not in found["tuned"]


def test_leaked_rows_are_counted_and_left_out(both: versions.Versions, tokenizer: Any) -> None:
    leaked = leakage.in_train(train=[*HELD_OUT[3:5], Row("text", {"text": "other"})], held_out=HELD_OUT)
    found = evaluate_generation(both, tokenizer, HELD_OUT, max_examples=99, max_new_tokens=1, leaked=leaked)
    assert (found["leaked"], found["answered"]) == (2, 18)
    assert not {3, 4} & {record["row"] for record in found["records"]}


def test_tokenized_examples_of_train_are_found_token_for_token() -> None:
    train = dataset(input_ids=[[1, 2], [3], [1]], labels=[[-100, 2], [3], [-100]])
    held_out = dataset(input_ids=[[3], [1, 2], [1, 2], [2, 1]], labels=[[3], [-100, 2], [1, 2], [-100, 1]])
    assert leakage.examples_in_train(train, held_out) == {0, 1}


def test_losses_are_those_of_a_plain_pass_and_the_tuned_models_is_lower(
    both: versions.Versions, model: Any, examples: data.Examples
) -> None:
    found = evaluate_likelihood(both, examples.dataset)
    assert (found["examples"], found["tokens"], found["complete"]) == (20, examples.trained, True)
    expected = plain_pass(model, examples.dataset)
    assert found["tuned"] == pytest.approx(expected, rel=1e-5)
    with model.disable_adapter():
        assert found["base"] == pytest.approx(plain_pass(model, examples.dataset), rel=1e-5)
    assert found["tuned"]["loss"] < found["base"]["loss"]


def plain_pass(model: Any, dataset: Any) -> dict[str, float]:
    import torch

    loss = correct = tokens = 0.0
    for example in dataset.with_format("torch"):
        with torch.inference_mode():
            logits = model.eval()(input_ids=example["input_ids"][None]).logits[0, :-1]
        wanted = example["labels"][1:]
        kept = wanted != -100
        loss += torch.nn.functional.cross_entropy(logits[kept], wanted[kept], reduction="sum").item()
        correct += (logits[kept].argmax(-1) == wanted[kept]).sum().item()
        tokens += kept.sum().item()
    loss /= tokens
    return {"loss": loss, "perplexity": 2.718281828459045**loss, "token_accuracy": correct / tokens}


def test_a_pair_counts_when_the_chosen_answer_is_the_likelier_one(both: versions.Versions, model: Any) -> None:
    pairs = {"prompt_ids": [[5, 6], [7]], "chosen_ids": [[8, 9, 10], [11]], "rejected_ids": [[12], [13, 14]]}
    found = evaluate_likelihood(both, dataset(**pairs))["tuned"]
    sums = [
        [log_likelihood(model, prompt, answer) for answer in answers]
        for prompt, *answers in zip(*pairs.values(), strict=True)
    ]
    assert found["preference_accuracy"] == sum(chosen > rejected for chosen, rejected in sums) / 2
    lengths = [(3, 1), (1, 2)]
    per_token = [(c / n, r / m) for (c, r), (n, m) in zip(sums, lengths, strict=True)]
    assert found["preference_accuracy_per_token"] == sum(chosen > rejected for chosen, rejected in per_token) / 2


def log_likelihood(model: Any, prompt: list[int], answer: list[int]) -> float:
    import torch

    with torch.inference_mode():
        logits = model.eval()(input_ids=torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).sum().item()


def test_answers_judged_one_by_one_have_a_loss_for_either_judgement(both: versions.Versions, model: Any) -> None:
    rows = {"prompt_ids": [[5], [6]], "completion_ids": [[8, 9], [10]], "label": [True, False]}
    found = evaluate_likelihood(both, dataset(**rows))["tuned"]
    assert found["desirable_loss"] == pytest.approx(-log_likelihood(model, [5], [8, 9]) / 2, rel=1e-5)
    assert found["undesirable_loss"] == pytest.approx(-log_likelihood(model, [6], [10]), rel=1e-5)


def test_a_deadline_leaves_both_judged_on_the_same_examples(both: versions.Versions) -> None:
    answers: Iterator[bool] = iter([False] * 5 + [True] * 99)
    found = both.judge([[number] for number in range(9)], lambda model, numbers: numbers, lambda reserve: next(answers))
    # The fifth batch went to the tuned model and the sixth call ended the base's.
    assert found["base"].keys() == found["tuned"].keys()
    assert len(found["base"]) == 2


def test_an_early_end_is_told(both: versions.Versions, tokenizer: Any, examples: data.Examples) -> None:
    table, records = comparison.evaluate(
        both, tokenizer, dataset=examples.dataset, rows=HELD_OUT, max_examples=5, deadline=lambda reserve: True
    )
    assert (table["complete"], table["examples"], table["base"], records) == (False, 0, {}, [])
    assert report.sentence(table) == "base and tuned could not be compared: no held-out example was judged"


def test_a_batch_that_does_not_fit_is_judged_in_halves(both: versions.Versions) -> None:
    import torch

    def judge(model: Any, numbers: list[int]) -> list[int]:
        if len(numbers) > 2:
            raise torch.OutOfMemoryError
        return [-number for number in numbers]

    assert both.judge([[1, 2, 3, 4, 5]], judge)["tuned"] == {number: -number for number in range(1, 6)}


def test_full_weights_are_compared_with_their_base_and_come_back(
    tiny: Path, model: Any, examples: data.Examples, tmp_path: Path
) -> None:
    import copy

    import torch

    merged = copy.deepcopy(model).merge_and_unload()
    before = {name: weight.clone() for name, weight in merged.state_dict().items()}
    in_memory = evaluate_likelihood(versions.of_weights(merged, tiny), examples.dataset)
    assert all(torch.equal(weight, before[name]) for name, weight in merged.state_dict().items())
    merged.save_pretrained(tmp_path)
    from_folders = evaluate_likelihood(versions.of_folders(tmp_path, tiny), examples.dataset)
    expected = evaluate_likelihood(versions.of_adapter(model), examples.dataset)
    for found in (in_memory, from_folders):
        assert found["base"] == pytest.approx(expected["base"], rel=1e-5)
        assert found["tuned"] == pytest.approx(expected["tuned"], rel=1e-3)


def test_the_model_is_left_in_the_mode_it_was_in(model: Any, both: versions.Versions, examples: data.Examples) -> None:
    model.train()
    evaluate_likelihood(both, examples.dataset)
    assert model.training
    assert model.get_model_status().enabled is True
    model.eval()


def test_a_finished_run_has_the_comparison_in_its_card_and_the_answers_beside_it(tuned: Path) -> None:
    card = json.loads((tuned / "model" / "model_card.json").read_text())
    table = card["evaluation"]
    assert (table["examples"], table["answered"], table["complete"]) == (20, 20, True)
    assert table["tuned"]["loss"] == pytest.approx(card["metrics"]["validation_loss"], rel=1e-3)
    assert table["tuned"]["loss"] < table["base"]["loss"]
    records = (tuned / "checkpoints" / "evaluation.jsonl").read_text().splitlines()
    assert [json.loads(record)["row"] for record in records] == list(range(20))


def test_a_task_that_is_not_there_is_refused_before_anything_is_trained(make_root: MakeRoot) -> None:
    root = make_root(validation=True, hyperparameters={"epochs": 1}, evaluation={"tasks": ["absent"]})
    assert run("trainer.train", "--root", root).exit_code == 1
    said = json.loads((root / "output" / "failure").read_text())
    assert said["code"] == "bad_tasks"
    assert "absent" in said["message"]
    assert not (root / "checkpoints" / "metrics.jsonl").exists()


def test_the_table_has_every_difference_and_no_value_that_json_lacks() -> None:
    likelihood = {"examples": 4, "tokens": 9, "leaked": 1, "complete": True, "base": {"loss": float("nan")}}
    generation = {"answered": 3, "leaked": 0, "too_long": 0, "complete": False}
    table = report.table(
        {**likelihood, "tuned": {"loss": 1.0}},
        {**generation, "base": {"exact_match": 0.02}, "tuned": {"exact_match": 0.9}},
        {"base": {"task": {"acc": 0.25}}, "tuned": {"task": {"acc": 0.75}}, "samples": {"task": 4}, "complete": True},
    )
    assert table["base"] == {"loss": None, "exact_match": 0.02, "tasks": {"task": {"acc": 0.25}}}
    assert table["difference"] == {"loss": None, "exact_match": 0.88, "tasks": {"task": {"acc": 0.5}}}
    assert (table["examples"], table["answered"], table["leaked"], table["complete"]) == (4, 3, 1, False)
    assert report.sentence(table) == "exact match 2 % → 90 % on 3 held-out examples, all that time allowed"


def test_the_sentence_tells_the_loss_where_no_answer_was_asked_for(
    both: versions.Versions, tokenizer: Any, examples: data.Examples
) -> None:
    table, _ = comparison.evaluate(both, tokenizer, dataset=examples.dataset)
    base, tuned = table["base"]["loss"], table["tuned"]["loss"]
    assert report.sentence(table) == f"loss {base:.2f} → {tuned:.2f} on 20 held-out examples"
