"""Proofs on a server that is simulated: what each of its models says at each position is drawn from the prompt."""

import io
import json
import math
import random
import threading
from typing import Any

import pytest

from luthier.deployments.entity import Deployment
from luthier.deployments.probe import Probe
from luthier.deployments.proving import AT_ONCE, Prover
from luthier.errors import InvalidRequest, Unavailable, Unprocessable

WORDS = tuple(f"w{number}" for number in range(12))
LENGTH = 8
URI = "s3://artifacts/org_a/proof.json"


class Language:
    """A model: log-probabilities of every word after a prompt and what was said so far. pull: how far it was tuned."""

    def __init__(self, seed: int, pull: float = 0.0) -> None:
        self.seed, self.pull = seed, pull

    def next(self, prompt: str, said: list[str]) -> dict[str, float]:
        base = random.Random(f"0{prompt}{said}")
        own = random.Random(f"{self.seed}{prompt}{said}")
        logits = [3 * base.gauss(0, 1) + self.pull * own.gauss(0, 1) for _ in WORDS]
        total = math.log(sum(map(math.exp, logits)))
        return {word: logit - total for word, logit in zip(WORDS, logits, strict=True)}

    def answer(self, prompt: str, noise: float = 0.0, seed: str = "") -> list[tuple[str, dict[str, float]]]:
        said: list[str] = []
        steps = []
        for place in range(LENGTH):
            rounding = random.Random(f"{seed}{prompt}{place}")
            likely = {word: value + rounding.gauss(0, noise) for word, value in self.next(prompt, said).items()}
            said.append(max(likely, key=lambda word: likely[word]))
            steps.append((said[-1], likely))
        return steps

    def record(self, prompt: str) -> list[list[Any]]:
        return [[word, likely[word]] for word, likely in self.answer(prompt)]


BASE, TUNED, OTHER = Language(0), Language(1, pull=1.0), Language(2, pull=1.0)


class Server:
    """An invoker whose adapter is `adapter`, on `base`, each log-probability off by `noise`."""

    def __init__(self, adapter: Language = TUNED, base: Language = BASE, noise: float = 0.0, top: int = 5) -> None:
        self.models = {"luthier-ep-1-1": adapter, "luthier-host-1-1-base": base}
        self.noise, self.top = noise, top
        self.logprobs = True
        self.refusal: Exception | None = None
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.running = self.most_running = 0
        self.lock = threading.Lock()
        self.takes = lambda: None

    def chat(self, deployment: Deployment, body: dict[str, Any]) -> dict[str, Any]:
        return self.chat_component(deployment.endpoint_name, deployment.component_name, body)

    def chat_component(self, endpoint: str, component: str, body: dict[str, Any]) -> dict[str, Any]:
        with self.lock:
            self.running += 1
            self.most_running = max(self.running, self.most_running)
            self.asked.append((component, body))
        try:
            self.takes()
            if self.refusal:
                raise self.refusal
            return self._answer(self.models[component], body)
        finally:
            with self.lock:
                self.running -= 1

    def _answer(self, model: Language, body: dict[str, Any]) -> dict[str, Any]:
        steps = model.answer(body["messages"][-1]["content"], self.noise, "server")
        content = [
            {
                "token": word,
                "logprob": likely[word],
                "top_logprobs": [
                    {"token": other, "logprob": likely[other]}
                    for other in sorted(likely, key=lambda one: -likely[one])[: self.top]
                ],
            }
            for word, likely in steps[: body["max_tokens"]]
        ]
        return {"choices": [{"message": {"content": ""}, "logprobs": {"content": content} if self.logprobs else None}]}


class Bucket:
    """S3 with one object, or none."""

    class exceptions:
        class NoSuchKey(Exception):
            pass

    def __init__(self, content: bytes | None) -> None:
        self.content = content

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        if self.content is None:
            raise self.exceptions.NoSuchKey
        return {"Body": io.BytesIO(self.content)}


def deployment(**fields: Any) -> Deployment:
    known = {"id": "ep_1", "organization_id": "org_a", "target": "model_1", "name": "n", "kind": "shared"}
    known |= {"hardware": "cpu", "base_model": "b", "model_name": "m", "host": "luthier-host-1-1", "proof_uri": URI}
    known |= {"adapter_uri": "s3://artifacts/a.tar.gz", "created_at": "2026-01-01T00:00:00Z"}
    return Deployment(**{"updated_at": known["created_at"], "started_at": known["created_at"]} | known | fields)


def record(tuned: Language = TUNED, base: Language | None = BASE, prompts: int = 32) -> dict[str, Any]:
    asked = [f"question {number}" for number in range(prompts)]
    return {
        "format_version": 1,
        "max_tokens": LENGTH,
        "prompts": [
            {
                "messages": [{"role": "user", "content": text}],
                "base": base.record(text) if base else None,
                "tuned": tuned.record(text),
            }
            for text in asked
        ],
    }


def prove(server: Server, content: Any = None, *, made: Deployment | None = None, **options: Any) -> dict[str, Any]:
    written = json.dumps(content or record()).encode() if not isinstance(content, bytes) else content
    prover = Prover(Bucket(written), server, Probe(server), **options)  # type: ignore[arg-type]
    return prover.prove(made or deployment())


def refused(server: Server, content: Any = None, **options: Any) -> tuple[str, dict[str, Any]]:
    with pytest.raises(Unprocessable) as caught:
        prove(server, content, **options)
    assert caught.value.code == "deployment_failed"
    return caught.value.message, caught.value.details


def test_an_exact_server_is_proven_by_every_token() -> None:
    numbers = prove(Server())
    assert numbers["verdict"] == "proven"
    assert numbers["distinguishable"]
    assert (numbers["prompts"], numbers["tokens"], numbers["skipped"]) == (32, 256, 0)
    assert numbers["mean_difference"] == numbers["noise"] == 0
    assert numbers["tolerance"] == 0.001
    assert numbers["to_base"] > 0.1


@pytest.mark.parametrize("noise", [1e-5, 0.01, 0.05, 0.2])
def test_noise_is_measured_on_the_base_model_and_allowed_twice(noise: float) -> None:
    numbers = prove(Server(noise=noise))
    assert numbers["tolerance"] == pytest.approx(max(2 * numbers["noise"], 1e-3), abs=2e-6)
    assert numbers["noise"] == pytest.approx(noise * math.sqrt(2 / math.pi), rel=0.25, abs=1e-6)
    assert numbers["mean_difference"] <= numbers["tolerance"]


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_a_server_that_applies_no_adapter_is_told_from_the_base_model(noise: float) -> None:
    message, numbers = refused(Server(adapter=BASE, noise=noise))
    assert "Is the tuning applied at all? No" in message
    assert numbers["to_base"] < numbers["to_tuned"]
    assert numbers["verdict"] == "failed"


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_another_adapter_is_not_the_right_one(noise: float) -> None:
    message, numbers = refused(Server(adapter=Language(2, pull=0.5), noise=noise), record(Language(1, pull=1.0)))
    assert "No" in message
    assert numbers["mean_difference"] > numbers["tolerance"]


def test_an_adapter_farther_off_than_the_base_model_is_named_as_another_one() -> None:
    message, _ = refused(Server(adapter=Language(2, pull=1.0), noise=0.05), record(Language(1, pull=0.3)))
    assert "Is it the right one? No" in message or "Is the tuning applied at all? No" in message


def test_an_adapter_that_is_a_little_off_is_the_right_one_whose_numbers_disagree() -> None:
    message, numbers = refused(Server(adapter=Language(1, pull=0.9)))
    assert message.startswith("The model is served otherwise than it was trained. Do the log-probabilities agree? No")
    assert numbers["tolerance"] < numbers["mean_difference"] < numbers["gap"] / 2


def test_an_adapter_that_changes_nothing_passes_by_agreement() -> None:
    numbers = prove(Server(adapter=BASE, noise=0.05), record(tuned=BASE))
    assert (numbers["verdict"], numbers["distinguishable"]) == ("proven", False)


def test_a_change_far_below_the_noise_cannot_be_distinguished() -> None:
    numbers = prove(Server(adapter=Language(1, pull=0.005), noise=0.1), record(Language(1, pull=0.005)))
    assert (numbers["verdict"], numbers["distinguishable"]) == ("proven", False)


def test_another_base_model_is_not_excused_as_noise() -> None:
    message, numbers = refused(Server(adapter=Language(1, pull=4.0), base=Language(3, pull=4.0)))
    assert "Not even the base model's" in message
    assert numbers["noise"] > 0.5


def test_a_server_that_diverges_late_is_compared_up_to_there() -> None:
    class Late(Language):
        def next(self, prompt: str, said: list[str]) -> dict[str, float]:
            likely = super().next(prompt, said)
            if len(said) == LENGTH - 2:
                # The two best swap places by a hair.
                first, second, *_ = sorted(likely.values(), reverse=True)
                mean = (first + second) / 2
                near = {first: mean - 1e-4, second: mean + 1e-4}
                return {word: near.get(value, value) for word, value in likely.items()}
            return likely

    class Tied(Late):
        def next(self, prompt: str, said: list[str]) -> dict[str, float]:
            likely = super().next(prompt, said)
            if len(said) == LENGTH - 2:
                first, second, *_ = sorted(likely.values(), reverse=True)
                swapped = {first: second, second: first}
                return {word: swapped.get(value, value) for word, value in likely.items()}
            return likely

    numbers = prove(Server(adapter=Tied(1, pull=1.0)), record(tuned=Late(1, pull=1.0)))
    assert (numbers["verdict"], numbers["recorded"], numbers["tokens"]) == ("proven", 256, 32 * (LENGTH - 1))
    assert 0 < numbers["max_difference"] <= 0.001


def test_a_recorded_token_that_is_not_among_the_likeliest_counts_with_the_least_it_can_be_off() -> None:
    content = record(prompts=4)
    for prompt in content["prompts"]:
        prompt["tuned"] = [["unheard", -0.01], *prompt["tuned"][1:]]
    message, numbers = refused(Server(), content)
    assert numbers["tokens"] == 4
    assert numbers["max_difference"] > 1
    assert "No" in message


def test_an_answer_that_ends_at_once_proves_nothing() -> None:
    server = Server()
    server._answer = lambda model, body: {"choices": [{"logprobs": {"content": []}}]}  # type: ignore[method-assign]
    message, _ = refused(server)
    assert "of 256 tokens only 0 can be compared" in message


def test_parts_of_characters_are_told_apart_by_nobody() -> None:
    content = record()
    for prompt in content["prompts"]:
        prompt["tuned"][3][0] = "\ufffd"
    server = Server()
    inner = server._answer

    def garbled(model: Language, body: dict[str, Any]) -> dict[str, Any]:
        answer = inner(model, body)
        if model is TUNED:
            answer["choices"][0]["logprobs"]["content"][3]["token"] = ""
        return answer

    server._answer = garbled  # type: ignore[method-assign]
    assert prove(server, content)["tokens"] == 256


def test_a_server_without_logprobs_is_named() -> None:
    server = Server()
    server.logprobs = False
    message, details = refused(server)
    assert message == "The endpoint answers without log-probabilities, so that nobody can tell which model answers."
    assert details is None


def test_a_server_without_alternatives_is_still_proven() -> None:
    assert prove(Server(top=0))["verdict"] == "proven"


def test_the_questions_are_greedy_and_at_most_eight_run_at_once() -> None:
    server = Server()
    barrier = threading.Barrier(AT_ONCE)

    def wait() -> None:
        barrier.wait(timeout=10)

    server.takes = wait
    prove(server)
    assert server.most_running == AT_ONCE
    assert len(server.asked) == 64
    for _, body in server.asked:
        assert (body["temperature"], body["max_tokens"], body["logprobs"]) == (0, LENGTH, True)
        assert (body["top_logprobs"], body["repetition_penalty"]) == (5, 1.0)


def test_a_slow_server_is_asked_fewer_prompts_and_the_numbers_say_so() -> None:
    server, passed = Server(), [0.0]

    def pass_time() -> None:
        with server.lock:
            passed[0] += 2

    server.takes = pass_time
    numbers = prove(server, seconds=30, monotonic=lambda: passed[0])
    assert numbers["verdict"] == "proven"
    assert 8 <= numbers["prompts"] < 20
    assert numbers["skipped"] == 32 - numbers["prompts"]
    assert numbers["seconds"] == 2 * len(server.asked)


def test_a_model_of_its_own_has_no_base_beside_it_and_a_fixed_tolerance() -> None:
    made = deployment(adapter_uri=None, own_model_uri="s3://artifacts/merged", kind="dedicated", host=None)
    server = Server(noise=0.05)
    server.models = {made.component_name: TUNED}
    numbers = prove(server, made=made)
    assert (numbers["noise"], numbers["tolerance"], numbers["distinguishable"]) == (None, 0.1, True)
    assert {component for component, _ in server.asked} == {made.component_name}
    server.models = {made.component_name: BASE}
    message, _ = refused(server, made=made)
    assert "Is the tuning applied at all? No" in message


def test_a_record_without_the_base_model_is_compared_with_a_fixed_tolerance() -> None:
    server = Server()
    numbers = prove(server, record(base=None))
    assert (numbers["verdict"], numbers["tolerance"], numbers["to_base"]) == ("proven", 0.1, None)
    assert len(server.asked) == 32


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'{"format_version": 1, "prompts": [], "failed": "oom", "message": "No memory."}', "No memory."),
        (b'{"format_version": 1, "max_tokens": 8, "prompts": []}', "holds no answer"),
        (b'{"format_version": 2, "max_tokens": 8, "prompts": []}', "format 2"),
        (b"[]", "cannot be read"),
        (b"{", "cannot be read"),
    ],
)
def test_without_a_record_one_question_is_asked_and_the_verdict_is_unproven(content: bytes, reason: str) -> None:
    server = Server()
    server._answer = lambda model, body: {"choices": [{"message": {}}]}  # type: ignore[method-assign]
    numbers = prove(server, content)
    assert (numbers["verdict"], len(server.asked)) == ("unproven", 1)
    assert reason in numbers["reason"]


def test_a_missing_record_is_unproven_and_a_probe_without_an_answer_is_no_deployment() -> None:
    server = Server()
    prover = Prover(Bucket(None), server, Probe(server))  # type: ignore[arg-type]
    assert prover.prove(deployment())["verdict"] == "unproven"
    server._answer = lambda model, body: {"choices": []}  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        prover.prove(deployment())


def test_an_endpoint_that_refuses_the_questions_fails_and_one_that_is_away_is_asked_again_later() -> None:
    server = Server()
    server.refusal = InvalidRequest("logprobs are not supported.")
    message, _ = refused(server)
    assert message == "The endpoint refuses the questions of the proof: logprobs are not supported."
    server.refusal = Unavailable("Away.", retry_after=10)
    with pytest.raises(Unavailable):
        prove(server)
    assert len(server.asked) < 64
