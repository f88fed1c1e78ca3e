"""Many adapters beside one base: each answers as if it were alone, and a bad one harms nobody."""

import json
import shutil
import tarfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.container.test_serve import Endpoint, serving

QUESTIONS = [f"My parcel {number} has not arrived, it can wait." for number in range(8)]


def write_adapter(tiny: Path, folder: Path, seed: int, **changes: Any) -> Path:
    """An adapter of the tiny model with random weights, strong enough to change every answer."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    settings = {"r": 4, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj", "down_proj"], "task_type": "CAUSAL_LM"}
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny), LoraConfig(**settings | changes))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.5)
    model.save_pretrained(folder)
    return folder


def archived(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for file in ("adapter_config.json", "adapter_model.safetensors"):
            archive.add(folder / file, file)
    return path


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> list[Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return [write_adapter(tiny, folder / str(seed), seed) for seed in range(4)]


@pytest.fixture
def endpoint(tmp_path: Path, tiny: Path) -> Iterator[Endpoint]:
    yield from serving(tmp_path, tiny, None)


def ask(endpoint: Endpoint, adapter: str | None, question: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}]
    status, content = endpoint.ask(adapter, messages=messages, max_tokens=12, logprobs=True, top_logprobs=2)
    assert status == 200, content
    return dict(content["choices"][0])


def assert_same_answer(one: dict[str, Any], other: dict[str, Any]) -> None:
    """The same tokens; where rounding made a tie fall otherwise, the two tokens were as likely as each other."""
    for first, second in zip(one["logprobs"]["content"], other["logprobs"]["content"], strict=False):
        assert abs(first["logprob"] - second["logprob"]) < 1e-3
        if first["token"] != second["token"]:
            return
    assert one["message"]["content"] == other["message"]["content"]


def test_mixed_requests_are_answered_by_their_own_adapter(endpoint: Endpoint, adapters: list[Path]) -> None:
    names = [None, *(f"a{number}" for number in range(len(adapters)))]
    for name, folder in zip(names[1:], adapters, strict=True):
        assert endpoint.add(name or "", folder) == (200, {})
    asked = [(names[number % len(names)], QUESTIONS[number % len(QUESTIONS)]) for number in range(32)]
    alone = [ask(endpoint, *request) for request in asked]
    assert len({answer["message"]["content"] for answer in alone[: len(names)]}) == len(names)
    with ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(lambda request: ask(endpoint, *request), asked))
    for one, other in zip(alone, together, strict=True):
        assert_same_answer(one, other)


def test_a_hundred_adapters_stand_beside_one_base(endpoint: Endpoint, adapters: list[Path], tmp_path: Path) -> None:
    import torch

    seconds = []
    for number in range(100):
        folder = tmp_path / f"adapter-{number}"
        shutil.copytree(adapters[0], folder)
        torch.manual_seed(100 + number)
        _change_weights(folder, lambda weights: [weight.normal_(std=0.3) for weight in weights.values()])
        began = time.monotonic()
        assert endpoint.add(f"a{number}", folder) == (200, {})
        seconds.append(time.monotonic() - began)
    # Ten times would be a cost that grows with what is there already.
    assert sum(seconds[-20:]) < 10 * sum(seconds[:20])
    asked = [(f"a{3 * number}", QUESTIONS[number % len(QUESTIONS)]) for number in range(32)]
    alone = [ask(endpoint, *request) for request in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        together = list(pool.map(lambda request: ask(endpoint, *request), asked))
    for one, other in zip(alone, together, strict=True):
        assert_same_answer(one, other)


def test_an_adapter_answers_as_its_merged_model_does(endpoint: Endpoint, adapters: list[Path], tiny: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from trainer import generation

    endpoint.add("one", adapters[0])
    merged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny), adapters[0]).merge_and_unload()
    tokenizer = generation.load(tiny, tiny.parent / "none")._tokenizer
    ids = tokenizer.apply_chat_template([{"role": "user", "content": QUESTIONS[0]}], add_generation_prompt=True)[
        "input_ids"
    ]
    assert (
        ask(endpoint, "one", QUESTIONS[0])["message"]["content"]
        == generation.greedy_answers(merged, tokenizer, [ids], 12)[0]
    )


def test_an_archive_is_as_good_as_a_folder(endpoint: Endpoint, adapters: list[Path], tmp_path: Path) -> None:
    endpoint.add("folder", adapters[0])
    assert endpoint.add("archive", archived(adapters[0], tmp_path / "a.tar.gz")) == (200, {})
    assert_same_answer(ask(endpoint, "folder", QUESTIONS[0]), ask(endpoint, "archive", QUESTIONS[0]))


def test_adding_the_same_again_is_fine_and_another_of_its_name_is_not(endpoint: Endpoint, adapters: list[Path]) -> None:
    endpoint.add("one", adapters[0])
    assert endpoint.add("one", adapters[0]) == (200, {})
    status, content = endpoint.add("one", adapters[1])
    assert (status, content["error"]["code"]) == (409, "adapter_exists")
    assert endpoint.request("GET", "/adapters")[1] == {"adapters": [{"name": "one", "src": str(adapters[0])}]}


def test_a_removed_adapter_is_gone_and_the_others_and_the_base_answer_as_before(
    endpoint: Endpoint, adapters: list[Path]
) -> None:
    base = ask(endpoint, None, QUESTIONS[0])
    endpoint.add("one", adapters[0])
    endpoint.add("two", adapters[1])
    two = ask(endpoint, "two", QUESTIONS[0])
    assert endpoint.request("DELETE", "/adapters/one") == (200, {})
    assert endpoint.request("DELETE", "/adapters/one")[0] == 404
    status, content = endpoint.ask("one")
    assert (status, content["error"]["code"]) == (404, "adapter_not_found")
    assert_same_answer(ask(endpoint, "two", QUESTIONS[0]), two)
    assert endpoint.request("DELETE", "/adapters/two") == (200, {})
    assert_same_answer(ask(endpoint, None, QUESTIONS[0]), base)
    assert endpoint.add("one", adapters[1]) == (200, {})
    assert_same_answer(ask(endpoint, "one", QUESTIONS[0]), two)


def test_the_first_adapter_may_be_a_bad_one(endpoint: Endpoint, adapters: list[Path], tmp_path: Path) -> None:
    before = ask(endpoint, None, QUESTIONS[0])
    bad = tmp_path / "bad"
    shutil.copytree(adapters[0], bad)
    _half(bad)
    assert endpoint.add("bad", bad)[0] == 400
    assert_same_answer(ask(endpoint, None, QUESTIONS[0]), before)
    assert endpoint.add("good", adapters[0]) == (200, {})
    assert endpoint.ask("good")[0] == 200


def _rank(folder: Path) -> None:
    _configure(folder, r=10_000)


def _dora(folder: Path) -> None:
    _configure(folder, use_dora=True)


def _module(folder: Path) -> None:
    _configure(folder, target_modules=["q_proj", "v_proj", "down_proj", "up_proj"])


def _configure(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _change_weights(folder: Path, change: Any) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def _nan(folder: Path) -> None:
    _change_weights(folder, lambda weights: weights[min(weights)].fill_(float("nan")))


def _shape(folder: Path) -> None:
    def widen(weights: dict[str, Any]) -> None:
        name = next(name for name in weights if "lora_A" in name)
        weights[name] = weights[name].repeat(1, 2)

    _change_weights(folder, widen)


def _foreign(folder: Path) -> None:
    def rename(weights: dict[str, Any]) -> None:
        for name in list(weights):
            weights[name.replace("layers.3", "layers.33")] = weights.pop(name)

    _change_weights(folder, rename)


def _half(folder: Path) -> None:
    _change_weights(folder, lambda weights: weights.pop(min(weights)))


def _cut(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_rank, "rank is 10000"),
        (_dora, "use_dora"),
        (_module, "up_proj"),
        (_nan, "no numbers"),
        (_shape, "has the shape"),
        (_foreign, "layers.33"),
        (_half, "no weights for"),
        (_cut, "cannot be read"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_bad_adapter_is_refused_and_harms_no_neighbour(
    endpoint_with_one: Endpoint, adapters: list[Path], tmp_path: Path, spoil: Any, said: str
) -> None:
    before = ask(endpoint_with_one, "one", QUESTIONS[0])
    bad = tmp_path / "bad"
    shutil.copytree(adapters[1], bad)
    spoil(bad)
    status, content = endpoint_with_one.add("bad", bad)
    assert status == 400
    assert said in content["error"]["message"]
    assert [row["name"] for row in endpoint_with_one.request("GET", "/adapters")[1]["adapters"]] == ["one"]
    assert_same_answer(ask(endpoint_with_one, "one", QUESTIONS[0]), before)


@pytest.fixture(scope="module")
def endpoint_with_one(tmp_path_factory: pytest.TempPathFactory, tiny: Path, adapters: list[Path]) -> Iterator[Endpoint]:
    for endpoint in serving(tmp_path_factory.mktemp("one"), tiny, None):
        endpoint.add("one", adapters[0])
        yield endpoint


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": "a/b", "src": "/tmp"}, "name"),
        ({"name": "a.b", "src": "/tmp"}, "name"),
        ({"name": "x" * 64, "src": "/tmp"}, "name"),
        ({"name": "a"}, "src"),
        ({"name": "a", "src": "/no/such/folder"}, "src"),
        ({"name": "a", "src": "/"}, "src"),
    ],
)
def test_a_wrong_field_of_an_adapter_is_named(endpoint_with_one: Endpoint, body: dict[str, Any], param: str) -> None:
    status, content = endpoint_with_one.request("POST", "/adapters", json.dumps(body).encode())
    assert (status, content["error"]["param"]) == (400, param)


def test_adapters_come_and_go_while_others_are_asked(endpoint_with_one: Endpoint, adapters: list[Path]) -> None:
    before = ask(endpoint_with_one, "one", QUESTIONS[0])
    with ThreadPoolExecutor(9) as pool:
        asked = [pool.submit(ask, endpoint_with_one, "one", QUESTIONS[0]) for _ in range(16)]
        for _ in range(4):
            assert endpoint_with_one.add("guest", adapters[2]) == (200, {})
            assert endpoint_with_one.request("DELETE", "/adapters/guest") == (200, {})
        for future in asked:
            assert_same_answer(future.result(), before)


def test_log_probabilities_are_openais_and_sum_to_no_more_than_one(endpoint_with_one: Endpoint) -> None:
    import math

    _, content = endpoint_with_one.ask("one", logprobs=True, top_logprobs=20, max_tokens=6)
    told = content["choices"][0]["logprobs"]
    assert told["refusal"] is None
    assert len(told["content"]) <= 6
    for entry in told["content"]:
        assert set(entry) == {"token", "logprob", "bytes", "top_logprobs"}
        # A part of a character is no text of its own, but its bytes join to it.
        assert "\ufffd" in entry["token"] or bytes(entry["bytes"]).decode() == entry["token"]
        top = entry["top_logprobs"]
        assert len(top) == 20
        assert top[0]["logprob"] == pytest.approx(entry["logprob"])  # greedy takes the likeliest
        assert sum(math.exp(likely["logprob"]) for likely in top) <= 1 + 1e-6


def test_log_probabilities_do_not_change_with_the_temperature(endpoint_with_one: Endpoint) -> None:
    def first(**fields: Any) -> list[dict[str, Any]]:
        _, content = endpoint_with_one.ask("one", logprobs=True, top_logprobs=5, max_tokens=1, **fields)
        return list(content["choices"][0]["logprobs"]["content"][0]["top_logprobs"])

    for one, other in zip(first(), first(temperature=2, seed=1, repetition_penalty=1.5), strict=True):
        assert one["token"] == other["token"]
        assert one["logprob"] == pytest.approx(other["logprob"], abs=1e-4)


def test_a_penalty_on_repetition_changes_the_answer(endpoint_with_one: Endpoint) -> None:
    assert endpoint_with_one.text(repetition_penalty=2, max_tokens=40) != endpoint_with_one.text(max_tokens=40)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"logprobs": "yes"}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repetition_penalty": 3}, "repetition_penalty"),
        ({"top_k": 1.5}, "top_k"),
    ],
)
def test_a_wrong_sampling_field_is_named(endpoint_with_one: Endpoint, fields: dict[str, Any], param: str) -> None:
    status, content = endpoint_with_one.ask("one", **fields)
    assert (status, content["error"]["param"]) == (400, param)
