"""What a finished run says its model answers, recomputed here token by token."""

import hashlib
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.container.conftest import TICKETS, MakeRoot
from tests.container.programs import run
from tests.container.rows import CHAT_PREFERENCE, CONVERSATION, LONG, PREFERENCE, TOOL_USE, UNPAIRED, row
from tests.container.test_training import card
from trainer import proof
from trainer.evaluation import versions
from trainer.failures import Failure

QUIET = {"generate": False}


def proof_of(root: Path) -> dict[str, Any]:
    return json.loads((root / "model" / "proof.json").read_text())


@pytest.fixture(scope="module")
def both(tiny: Path, tuned: Path) -> versions.Versions:
    return versions.of_folders(tuned / "model", tiny)


def answered(model: Any, tokenizer: Any, messages: list[dict[str, str]]) -> list[tuple[str, float]]:
    """The plainest way: the whole text anew for every token, no batch, no cache."""
    import torch

    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found: list[tuple[str, float]] = []
    with torch.inference_mode():
        while len(found) < proof.MAX_TOKENS and (not found or found[-1][0] != tokenizer.eos_token):
            scores = model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)
            ids.append(int(scores.argmax()))
            found.append((tokenizer.decode([ids[-1]]), float(scores.max())))
    return found


def test_a_run_leaves_the_answers_of_tuned_and_base_to_the_held_out_prompts(
    tuned: Path, both: versions.Versions, tokenizer: Any
) -> None:
    content = proof_of(tuned)
    assert (content["format_version"], content["max_tokens"], len(content["prompts"])) == (1, 8, 20)
    held_out = [json.loads(line)["messages"][:-1] for line in (TICKETS / "heldout.jsonl").read_text().splitlines()]
    assert all(prompt["messages"] in held_out for prompt in content["prompts"])
    for prompt in content["prompts"][:4]:
        for name in ("base", "tuned"):
            with both.open(name) as model:
                expected = answered(model, tokenizer, prompt["messages"])
            assert [text for text, _ in prompt[name]] == [text for text, _ in expected]
            told = [score for _, score in prompt[name]]
            assert told == pytest.approx([score for _, score in expected], abs=1e-3)
    assert any(prompt["base"] != prompt["tuned"] for prompt in content["prompts"])


def test_the_card_lists_the_proof_and_the_archive_that_a_server_loads(tuned: Path) -> None:
    listed = {file["path"] for file in card(tuned)["files"]}
    assert {"proof.json", "serving/adapter.tar.gz"} <= listed
    with tarfile.open(tuned / "model" / "serving" / "adapter.tar.gz") as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == ["adapter_config.json", "adapter_model.safetensors"]
        assert {(member.mtime, member.uid, member.uname) for member in members} == {(0, 0, "")}
        for member in members:
            content = archive.extractfile(member)
            assert content is not None
            assert content.read() == (tuned / "model" / member.name).read_bytes()


def test_the_card_says_how_the_model_is_built_and_was_trained(tuned: Path) -> None:
    content = card(tuned)
    assert content["architecture"] == {
        "layers": 4,
        "attention_heads": 4,
        "hidden_size": 128,
        "vocabulary_size": 1_024,
        "context_length": 512,
    }
    training = content["training"]
    assert (training["strategy"], training["epochs"], training["total_steps"]) == ("lora", 4, 20)
    linear = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    parameters = {"rank": 8, "alpha": 16, "target_modules": linear}
    assert {name: training["parameters"][name] for name in parameters} == parameters
    lines = [json.loads(line) for line in (tuned / "checkpoints" / "metrics.jsonl").read_text().splitlines()]
    trained = [line for line in lines if line["training_loss"] is not None]
    assert training["best_loss"] == min(line["training_loss"] for line in trained)
    assert training["final_learning_rate"] == trained[-1]["learning_rate"]
    assert 0 < training["training_time"] <= content["seconds"]


@pytest.mark.parametrize(
    ("method", "rows"),
    [
        ("dpo", [{"prompt": f"{n}+1?", "chosen": f"It is {n + 1}", "rejected": f"It is {n}"} for n in range(12)]),
        ("orpo", [{"prompt": f"{n}+1?", "chosen": f"It is {n + 1}", "rejected": f"It is {n}"} for n in range(12)]),
        ("kto", [{"prompt": f"{n}+1?", "completion": "Yes", "label": n % 2 == 0} for n in range(12)]),
    ],
)
def test_every_method_leaves_a_proof_from_its_training_rows_where_none_are_held_out(
    make_root: MakeRoot, method: str, rows: list[dict[str, Any]]
) -> None:
    lines = [json.dumps(fields) for fields in rows]
    root = make_root(rows=lines, method=method, hyperparameters={"epochs": 1}, evaluation=QUIET)
    assert run("trainer.train", "--root", root).exit_code == 0
    prompts = proof_of(root)["prompts"]
    expected = [[{"role": "user", "content": fields["prompt"]}] for fields in rows]
    assert sorted(map(str, (prompt["messages"] for prompt in prompts))) == sorted(map(str, expected))
    assert all(prompt["base"] and prompt["tuned"] for prompt in prompts)


def test_full_weights_are_proven_beside_their_base(make_root: MakeRoot, tiny: Path, tokenizer: Any) -> None:
    asked = {"adapter": "full", "lora_rank": None, "lora_alpha": None, "epochs": 1, "learning_rate": 0.002}
    root = make_root(hyperparameters=asked, evaluation=QUIET)
    assert run("trainer.train", "--root", root).exit_code == 0
    found = versions.of_folders(root / "model", tiny)
    prompt = proof_of(root)["prompts"][0]
    for name in ("base", "tuned"):
        with found.open(name) as model:
            expected = answered(model, tokenizer, prompt["messages"])
        assert [score for _, score in prompt[name]] == pytest.approx([score for _, score in expected], abs=1e-3)
    assert card(root)["training"]["strategy"] == "full"
    assert card(root)["training"]["parameters"] == {}
    assert not (root / "model" / "serving").exists()


def test_rows_of_plain_text_are_proven_by_three_general_prompts(make_root: MakeRoot) -> None:
    rows = [json.dumps({"text": f"The parcel {number} is on its way."}) for number in range(9)]
    root = make_root(rows=rows, hyperparameters={"epochs": 1}, evaluation=QUIET)
    assert run("trainer.train", "--root", root).exit_code == 0
    asked = [prompt["messages"] for prompt in proof_of(root)["prompts"]]
    assert asked == [[{"role": "user", "content": text}] for text in proof.GENERAL]


def test_a_run_without_time_left_says_that_it_has_no_proof(make_root: MakeRoot) -> None:
    root = make_root(limits={"max_seconds": 1}, hyperparameters={"epochs": 100}, evaluation=QUIET)
    assert run("trainer.train", "--root", root).exit_code == 0
    content = proof_of(root)
    assert (content["failed"], content["prompts"]) == ("proof_skipped", [])


def test_weights_that_are_shared_out_among_processes_leave_no_proof_and_say_so() -> None:
    content = proof.of_run(None, None, SimpleNamespace(is_fsdp_enabled=True))
    assert (content["failed"], content["prompts"]) == ("proof_skipped", [])
    assert "shared out" in content["message"]


def prompts(tokenizer: Any, *rows: dict[str, Any], longest: int = 256) -> list[list[dict[str, str]]]:
    return [prompt.messages for prompt in proof.prompts_of(tokenizer, map(row, rows), longest)]


def test_a_conversation_is_asked_up_to_its_last_answer(tokenizer: Any) -> None:
    assert prompts(tokenizer, CONVERSATION) == [CONVERSATION["messages"][:-1]]


def test_a_prompt_that_several_rows_share_is_asked_once(tokenizer: Any) -> None:
    assert prompts(tokenizer, PREFERENCE, UNPAIRED) == [[{"role": "user", "content": "2+2?"}]]
    assert prompts(tokenizer, CHAT_PREFERENCE) == [CHAT_PREFERENCE["prompt"]]


@pytest.mark.parametrize(
    "left_out",
    [
        TOOL_USE,
        {"text": "Once upon a time."},
        {"messages": [{"role": "assistant", "content": "Hello!"}]},
        {"messages": [{"role": "user", "name": "Ann", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]},
    ],
    ids=["tools", "plain text", "no prompt", "a name"],
)
def test_what_a_server_would_not_get_is_left_out(tokenizer: Any, left_out: dict[str, Any]) -> None:
    assert prompts(tokenizer, left_out) == []


def test_a_row_that_was_cut_before_its_answer_is_left_out(tokenizer: Any) -> None:
    cut = {"prompt": "Go on. " * 50, "completion": "No."}
    assert prompts(tokenizer, cut, longest=32) == []
    assert prompts(tokenizer, LONG, longest=32) == [[{"role": "user", "content": "Go on."}]]


def test_a_template_that_begins_the_answer_otherwise_than_in_training_is_noticed(tokenizer: Any) -> None:
    marked = (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.role == 'assistant' %}"
        "{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}{% else %}{{ message.content }}<|im_end|>"
        "{% endif %}\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\nSo:{% endif %}"
    )
    tokenizer.chat_template = marked
    assert prompts(tokenizer, PREFERENCE) == []
    tokenizer.chat_template = marked.replace("So:", "")
    assert len(prompts(tokenizer, PREFERENCE)) == 1


def test_at_most_32_prompts_are_taken_and_the_same_ones_from_rows_in_any_order(tokenizer: Any) -> None:
    rows = [{"prompt": f"Say {number}.", "completion": "It is said."} for number in range(90)]
    found = prompts(tokenizer, *rows)
    assert len(found) == 32
    assert prompts(tokenizer, *reversed(rows)) == found


def test_a_base_that_cannot_be_had_is_null(both: versions.Versions, tokenizer: Any) -> None:
    content = proof.of_models(replace(both, base=None), tokenizer, proof.general_prompts(tokenizer))
    assert [prompt["base"] for prompt in content["prompts"]] == [None] * 3
    assert all(prompt["tuned"] for prompt in content["prompts"])


def test_the_proof_ends_with_a_batch_of_both_once_the_answers_do(both: versions.Versions, tokenizer: Any) -> None:
    asked = proof.general_prompts(tokenizer)
    content = proof.of_models(both, tokenizer, asked, tokens=1, enough=lambda: True)
    assert [bool(prompt["base"] and prompt["tuned"]) for prompt in content["prompts"]] == [True]
    assert len(proof.of_models(both, tokenizer, asked, tokens=1)["prompts"]) == 3


def test_the_models_own_settings_change_no_answer_and_are_kept(both: versions.Versions, tokenizer: Any) -> None:
    asked = proof.general_prompts(tokenizer)
    plain = proof.of_models(both, tokenizer, asked)
    with both.open("tuned") as model:
        settings = model.generation_config
        settings.repetition_penalty = 9.0
        assert proof.of_models(both, tokenizer, asked) == plain
        assert model.generation_config is model.get_base_model().generation_config is settings
        settings.repetition_penalty = None


def test_an_answer_that_is_no_number_is_refused(tiny: Path, tokenizer: Any) -> None:
    base = versions.of_folders(None, tiny)
    with base.open("base") as model:
        model.lm_head.weight.data.fill_(float("nan"))
        with pytest.raises(Failure, match="no numbers"):
            proof.answers(model, tokenizer, [[5, 6, 7]])


def test_the_archive_is_the_same_whenever_it_is_made(tuned: Path, tmp_path: Path) -> None:
    import shutil

    from trainer import archives

    for name in archives.ADAPTER_FILES:
        shutil.copyfile(tuned / "model" / name, tmp_path / name)
    archives.pack_adapter(tmp_path)
    made = (tmp_path / archives.ADAPTER_ARCHIVE).read_bytes()
    assert hashlib.sha256(made).hexdigest() == next(
        file["sha256"] for file in card(tuned)["files"] if file["path"] == archives.ADAPTER_ARCHIVE
    )
