import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.container.conftest import TICKETS
from tests.container.programs import Program, start
from tests.container.rows import WEATHER

QUESTION = [{"role": "user", "content": "My parcel has not arrived, it can wait."}]


class Endpoint:
    """A running server and how to ask it."""

    def __init__(self, root: Path) -> None:
        self.adapter: str | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.program: Program = start("trainer.serve", "--root", root, "--port", self.port)
        self.program.wait_for(self._answers)

    def request(self, method: str, path: str, body: bytes | None = None, adapter: str | None = None) -> tuple[int, Any]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"X-Amzn-SageMaker-Adapter-Identifier": adapter} if adapter else {}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def ask(self, adapter: str | None = "", **fields: Any) -> tuple[int, Any]:
        """adapter: None for the base, by default the endpoint's own."""
        body = {"model": "m", "messages": QUESTION, "temperature": 0, "max_tokens": 24, **fields}
        picked = self.adapter if adapter == "" else adapter
        return self.request("POST", "/invocations", json.dumps(body).encode(), picked)

    def add(self, name: str, source: Path) -> tuple[int, Any]:
        return self.request("POST", "/adapters", json.dumps({"name": name, "src": str(source)}).encode())

    def text(self, **fields: Any) -> str:
        status, content = self.ask(**fields)
        assert status == 200, content
        return content["choices"][0]["message"]["content"]

    def _answers(self) -> bool:
        try:
            return self.request("GET", "/ping")[0] == 200
        except OSError:
            return False


def serving(tmp_path: Path, base_model: Path, adapter: Path | None) -> Iterator[Endpoint]:
    (tmp_path / "model").symlink_to(base_model)
    endpoint = Endpoint(tmp_path)
    if adapter:
        assert endpoint.add("tickets", adapter) == (200, {})
        endpoint.adapter = "tickets"
    yield endpoint
    endpoint.program.kill()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Endpoint]:
    yield from serving(tmp_path_factory.mktemp("serve"), tiny, None)


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory, tiny: Path, tuned: Path) -> Iterator[Endpoint]:
    yield from serving(tmp_path_factory.mktemp("serve"), tiny, tuned / "model")


def test_the_tuned_model_answers_in_the_form_it_was_taught_and_the_base_does_not(
    base: Endpoint, fine_tuned: Endpoint
) -> None:
    messages = json.loads((TICKETS / "heldout.jsonl").read_text().splitlines()[0])["messages"]
    answer = json.loads(fine_tuned.text(messages=messages[:-1]))
    assert set(answer) == {"intent", "urgency"}
    assert "urgency" not in base.text(messages=messages[:-1])


def test_the_answer_is_an_openai_chat_completion(fine_tuned: Endpoint) -> None:
    status, content = fine_tuned.ask()
    assert status == 200
    assert set(content) == {"id", "object", "created", "model", "choices", "usage"}
    assert (content["object"], content["model"]) == ("chat.completion", "m")
    choice = content["choices"][0]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "stop"
    usage = content["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_an_answer_cut_at_max_tokens_says_so(fine_tuned: Endpoint) -> None:
    _, content = fine_tuned.ask(max_tokens=3)
    assert content["choices"][0]["finish_reason"] == "length"
    assert content["usage"]["completion_tokens"] == 3


def test_a_stop_string_ends_the_answer_before_it(fine_tuned: Endpoint) -> None:
    whole = fine_tuned.text()
    assert fine_tuned.text(stop=["urgency"]) == whole.partition("urgency")[0]


def test_questions_asked_at_once_get_the_answers_of_questions_asked_in_turn(fine_tuned: Endpoint) -> None:
    asked = [
        {"messages": json.loads(line)["messages"][:-1], "max_tokens": 4 + index}
        for index, line in enumerate((TICKETS / "heldout.jsonl").read_text().splitlines())
    ]
    in_turn = [fine_tuned.text(**fields) for fields in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        at_once = list(pool.map(lambda fields: fine_tuned.text(**fields), asked))
    assert at_once == in_turn


def test_a_seed_makes_sampling_repeatable(base: Endpoint) -> None:
    first, second, other = (base.text(temperature=1.5, seed=seed) for seed in (1, 1, 2))
    assert first == second != other


def test_text_parts_are_joined(fine_tuned: Endpoint) -> None:
    parts = [{"type": "text", "text": part} for part in ("My parcel has not arrived,", " it can wait.")]
    assert fine_tuned.text(messages=[{"role": "user", "content": parts}]) == fine_tuned.text()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": "high"}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"n": 129}, "n"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 3}}, "stream_options.include_usage"),
        ({"tools": [{"type": "function"}]}, "tools[0]"),
        ({"tools": [WEATHER]}, "tools"),
        ({"tools": [WEATHER], "tool_choice": "required"}, "tool_choice"),
        ({"messages": [*QUESTION, {"role": "tool", "content": "8 degrees"}]}, "messages[1]"),
        ({"logit_bias": {"5": 10}}, "logit_bias"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"reasoning_effort": "high"}, "reasoning_effort"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"messages": None, "prompt": "Hello"}, "prompt"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(base: Endpoint, fields: dict[str, Any], param: str) -> None:
    status, content = base.ask(**fields)
    assert status == 400
    assert set(content["error"]) == {"message", "type", "param", "code"}
    assert (content["error"]["type"], content["error"]["param"]) == ("invalid_request_error", param)


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": [{"role": "user", "content": "hi " * 600}]},
        {"messages": [{"role": "user", "content": "parcel " * 28_600}]},
        {"max_tokens": 5000},
    ],
)
def test_what_exceeds_the_context_is_refused(base: Endpoint, fields: dict[str, Any]) -> None:
    status, content = base.ask(**fields)
    assert status == 400
    assert content["error"]["code"] == "context_length_exceeded"
    assert "512 tokens" in content["error"]["message"]


def test_without_max_tokens_the_answer_may_fill_the_context(base: Endpoint) -> None:
    status, content = base.ask(messages=[{"role": "user", "content": "hi " * 120}], max_tokens=None)
    assert status == 200
    assert content["usage"]["total_tokens"] <= 512


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/invocations", b"{", 400),
        ("POST", "/invocations", b"[]", 400),
        ("POST", "/invocations", b"[" * 50_000, 400),
        ("POST", "/invocations", b'{"messages": [{"role": "user", "content": "\\ud800"}]}', 400),
        ("PUT", "/invocations", b"{}", 405),
        ("POST", "/other", b"{}", 404),
        ("GET", "/other", None, 404),
    ],
)
def test_other_requests_get_an_error_in_the_same_shape(
    base: Endpoint, method: str, path: str, body: bytes | None, expected: int
) -> None:
    status, content = base.request(method, path, body)
    assert status == expected
    assert set(content["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"min_p": 0.1}, "min_p"),
        ({"foo": None}, "foo"),
        ({"seed": 2**70}, "seed"),
        ({"max_tokens": 2**70}, "max_tokens"),
    ],
)
def test_what_is_not_known_or_beyond_every_number_is_refused_by_name(
    base: Endpoint, fields: dict[str, Any], param: str
) -> None:
    status, content = base.ask(**fields)
    assert (status, content["error"]["param"]) == (400, param)


def test_sigterm_ends_the_server_at_once(tmp_path: Path, tiny: Path) -> None:
    for endpoint in serving(tmp_path, tiny, None):
        asked = time.monotonic()
        endpoint.program.terminate()
        assert endpoint.program.exit_code == 0
        assert time.monotonic() - asked < 2


def test_a_model_that_cannot_be_loaded_ends_the_server(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    program = start("trainer.serve", "--root", tmp_path, "--port", "0")
    assert program.exit_code == 2
    assert "cannot be loaded" in program.lines[-1]["message"]
