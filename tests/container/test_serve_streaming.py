"""Answers in chunks: the same text as in one piece, ended when nobody reads on, with a clean error when it breaks."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import Any

import pytest

from tests.container.test_serve import QUESTION, Endpoint, serving


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Endpoint]:
    yield from serving(tmp_path_factory.mktemp("stream"), tiny, None)


def opened(endpoint: Endpoint, **fields: Any) -> tuple[HTTPConnection, HTTPResponse]:
    body = {"model": "m", "messages": QUESTION, "temperature": 0, "max_tokens": 24, "stream": True, **fields}
    connection = HTTPConnection("127.0.0.1", endpoint.port, timeout=60)
    sent = json.dumps({name: value for name, value in body.items() if value is not None})
    picked = {"X-Amzn-SageMaker-Adapter-Identifier": endpoint.adapter} if endpoint.adapter else {}
    connection.request("POST", "/invocations", sent, picked)
    return connection, connection.getresponse()


def streamed(endpoint: Endpoint, **fields: Any) -> list[Any]:
    """What each event holds, `[DONE]` included."""
    connection, response = opened(endpoint, **fields)
    try:
        assert (response.status, response.getheader("Content-Type")) == (200, "text/event-stream; charset=utf-8")
        events = response.read().decode().split("\n\n")
        assert events.pop() == ""
        assert all(event.startswith("data: ") for event in events)
        data = [event.removeprefix("data: ") for event in events]
        return [json.loads(each) if each != "[DONE]" else each for each in data]
    finally:
        connection.close()


def text_of(events: list[Any], index: int = 0) -> str:
    deltas = [choice for event in events[:-1] for choice in event["choices"] if choice["index"] == index]
    return "".join(choice["delta"].get("content") or "" for choice in deltas)


def test_a_streamed_answer_is_the_answer_in_one_piece(endpoint: Endpoint) -> None:
    _, whole = endpoint.ask()
    *chunks, done = events = streamed(endpoint)
    assert done == "[DONE]"
    assert text_of(events) == whole["choices"][0]["message"]["content"]
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert len(chunks) > 10
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks]
    assert reasons == [None] * (len(chunks) - 1) + [whole["choices"][0]["finish_reason"]]
    assert {(chunk["id"], chunk["object"], chunk["model"]) for chunk in chunks} == {
        (chunks[0]["id"], "chat.completion.chunk", "m")
    }
    assert not any("usage" in chunk for chunk in chunks)


def test_the_usage_comes_last_and_only_when_asked_for(endpoint: Endpoint) -> None:
    _, whole = endpoint.ask()
    *chunks, last, _ = streamed(endpoint, stream_options={"include_usage": True})
    assert (last["choices"], last["usage"]) == ([], whole["usage"])
    assert {json.dumps(chunk["usage"]) for chunk in chunks} == {"null"}


def test_the_usage_so_far_comes_with_every_chunk_when_asked_for(endpoint: Endpoint) -> None:
    *chunks, _ = streamed(endpoint, stream_options={"continuous_usage_stats": True})
    counts = [chunk["usage"]["completion_tokens"] for chunk in chunks]
    assert (counts[0], counts[-1], counts) == (0, 24, sorted(counts))


def test_no_text_behind_a_stop_string_or_of_its_beginning_is_streamed(endpoint: Endpoint) -> None:
    whole = endpoint.text()
    stop = whole[7:12]
    expected = whole.partition(stop)[0]
    assert endpoint.text(stop=[stop]) == expected
    events = streamed(endpoint, stop=[stop])
    assert text_of(events) == expected
    assert events[-2]["choices"][0]["finish_reason"] == "stop"


def test_characters_of_several_tokens_are_never_streamed_in_halves(endpoint: Endpoint) -> None:
    """The tiny model has no tokens for Cyrillic: each letter is two bytes, a token each."""
    events = streamed(endpoint, temperature=1.9, seed=3, max_tokens=60, top_k=-1)
    _, whole = endpoint.ask(temperature=1.9, seed=3, max_tokens=60, top_k=-1)
    assert text_of(events) == whole["choices"][0]["message"]["content"]


def test_log_probabilities_are_streamed_with_their_tokens(endpoint: Endpoint) -> None:
    _, whole = endpoint.ask(logprobs=True, top_logprobs=2)
    events = streamed(endpoint, logprobs=True, top_logprobs=2)
    told = [
        entry for chunk in events[1:-1] for entry in (chunk["choices"][0]["logprobs"] or {"content": []})["content"]
    ]
    assert told == whole["choices"][0]["logprobs"]["content"]


def test_n_answers_are_told_apart_by_their_index_and_a_seed_repeats_them(endpoint: Endpoint) -> None:
    _, whole = endpoint.ask(n=3, temperature=1.5, seed=5)
    texts = [choice["message"]["content"] for choice in whole["choices"]]
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2]
    assert len(set(texts)) == 3
    events = streamed(endpoint, n=3, temperature=1.5, seed=5)
    assert [text_of(events, index) for index in range(3)] == texts
    _, one = endpoint.ask()
    assert whole["usage"]["prompt_tokens"] == one["usage"]["prompt_tokens"]


def test_a_text_completion_goes_on_from_its_prompt(endpoint: Endpoint) -> None:
    prompts = ["My parcel", "The invoice"]
    body = {"model": "m", "prompt": prompts, "n": 2, "logprobs": 3, "temperature": 0}
    status, content = endpoint.request("POST", "/invocations", json.dumps(body).encode())
    assert (status, content["object"]) == (200, "text_completion")
    texts = [choice["text"] for choice in content["choices"]]
    assert len(texts) == 4
    assert texts[0] == texts[1] != texts[2]
    # OpenAI's own default.
    assert content["usage"]["completion_tokens"] == 4 * 16
    told = content["choices"][0]["logprobs"]
    assert "".join(told["tokens"]) == texts[0]
    assert all(texts[0][at:].startswith(token) for at, token in zip(told["text_offset"], told["tokens"], strict=True))
    # Tokens that are parts of characters may read the same.
    assert max(len(top) for top in told["top_logprobs"]) == 3

    events = streamed(endpoint, messages=None, prompt=prompts, logprobs=1, max_tokens=None)
    chunks = [event["choices"][0] for event in events[:-1]]
    assert "".join(chunk["text"] for chunk in chunks if chunk["index"] == 1) == texts[2]
    offsets = [at for chunk in chunks if chunk["index"] == 1 for at in chunk["logprobs"]["text_offset"]]
    assert offsets == content["choices"][2]["logprobs"]["text_offset"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [5_000]}, "prompt"),
        ({"prompt": "x", "echo": True}, "echo"),
        ({"prompt": "x", "suffix": "y"}, "suffix"),
        ({"prompt": "x", "logprobs": 6}, "logprobs"),
        ({"prompt": "x", "best_of": 2}, "best_of"),
        ({"prompt": ["x"] * 65, "n": 2}, "prompt"),
        ({"prompt": "hi " * 600}, "prompt"),
    ],
)
def test_a_wrong_field_of_a_text_completion_is_named(endpoint: Endpoint, fields: dict[str, Any], param: str) -> None:
    status, content = endpoint.request("POST", "/invocations", json.dumps({"model": "m", **fields}).encode())
    assert (status, content["error"]["param"]) == (400, param)


def test_what_is_refused_before_the_first_byte_has_its_status(endpoint: Endpoint) -> None:
    _, response = opened(endpoint, max_tokens=5000)
    assert response.status == 400
    assert json.loads(response.read())["error"]["code"] == "context_length_exceeded"


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_hangs_up_ends_the_generation(endpoint: Endpoint, stream: bool) -> None:
    # The tiny model writes a hundred tokens in half a second; one sampled request after the other makes a long queue.
    body = {"model": "m", "messages": QUESTION, "max_tokens": 400, "temperature": 1.7, "stream": stream}
    asked = time.monotonic()
    endpoint.ask(max_tokens=400, temperature=1.7, seed=1)
    alone = time.monotonic() - asked
    hung_up = []
    for seed in range(6):
        connection = HTTPConnection("127.0.0.1", endpoint.port, timeout=60)
        connection.request("POST", "/invocations", json.dumps({**body, "seed": seed}))
        hung_up.append(connection)
    time.sleep(0.3)
    for connection in hung_up:
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
    asked = time.monotonic()
    assert endpoint.ask(max_tokens=1)[0] == 200
    assert time.monotonic() - asked < 2 * alone + 1


@pytest.mark.parametrize("stream", [True, False])
def test_a_question_that_comes_while_another_is_answered_does_not_wait_for_its_end(
    endpoint: Endpoint, stream: bool
) -> None:
    """Both get the answer that they get alone."""
    other = [{"role": "user", "content": "The invoice is wrong!"}]
    alone = endpoint.text(max_tokens=450), endpoint.text(messages=other, max_tokens=5)

    def long() -> tuple[str, float]:
        said = text_of(streamed(endpoint, max_tokens=450)) if stream else endpoint.text(max_tokens=450)
        return said, time.monotonic()

    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(long)
        time.sleep(0.2)
        short, answered = endpoint.text(messages=other, max_tokens=5), time.monotonic()
        said, ended = asked.result()
    assert (said, short) == alone
    assert answered < ended


def test_a_server_that_dies_breaks_the_stream_off_before_its_end(tmp_path: Path, tiny: Path) -> None:
    for dying in serving(tmp_path, tiny, None):
        _, response = opened(dying, max_tokens=450, temperature=1.9, seed=2)
        response.readline()
        dying.program.kill()
        with pytest.raises((OSError, HTTPException)):
            response.read()


def test_a_failure_in_the_middle_of_an_answer_is_one_error_event_and_the_end() -> None:
    """A generation that fails after its first piece, through the server's own handler."""
    from http.server import ThreadingHTTPServer

    from trainer import replies, sampling, serve

    class Prompt:
        ids: list[int] = [1]
        cancelled = False
        hear: Any = None

    class Generator:
        def prepare(self, request: Any) -> list[Any]:
            return [Prompt()]

    class Service:
        ready = True

        def reply(self, body: Any, adapter: Any) -> Any:
            return replies.Reply(replies.parse(body, adapter), Generator(), submit)  # type: ignore[arg-type]

    def submit(prompt: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(fail, prompt)

    def fail(prompt: Any) -> None:
        prompt.hear(sampling.Piece("Hel", [], 1))
        raise RuntimeError("out of memory")

    handler = type("BoundHandler", (serve.Handler,), {"service": Service()})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
        connection.request("POST", "/invocations", json.dumps({"messages": QUESTION, "stream": True}))
        events = connection.getresponse().read().decode().strip().split("\n\n")
    finally:
        server.shutdown()
        server.server_close()
    assert json.loads(events[-2].removeprefix("data: "))["choices"][0]["delta"] == {"content": "Hel"}
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "generation_failed"


SCHEMA = {
    "type": "object",
    "properties": {"urgency": {"enum": ["low", "high"]}, "days": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["urgency", "days"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_an_answer_follows_the_schema_that_it_was_given(endpoint: Endpoint, temperature: float) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "ticket", "schema": SCHEMA, "strict": True}}
    with ThreadPoolExecutor(5) as pool:
        free = pool.submit(endpoint.text)
        asked = [pool.submit(endpoint.ask, response_format=wanted, temperature=temperature) for _ in range(4)]
    for future in asked:
        choice = future.result()[1]["choices"][0]
        answer = json.loads(choice["message"]["content"])
        assert set(answer) == {"urgency", "days"}
        assert answer["urgency"] in ("low", "high")
        assert choice["finish_reason"] == "stop"
    # Whoever asks beside them is not ruled.
    assert free.result() == endpoint.text()
    events = streamed(endpoint, response_format=wanted, temperature=temperature)
    assert set(json.loads(text_of(events))) == {"urgency", "days"}


def test_a_schema_may_hold_itself_where_it_may_also_end(endpoint: Endpoint) -> None:
    tree = {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
        "required": ["next"],
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "tree", "schema": tree}}
    status, _ = endpoint.ask(response_format=wanted, max_tokens=4)
    assert status == 200


def test_a_json_object_is_an_object(endpoint: Endpoint) -> None:
    text = endpoint.text(response_format={"type": "json_object"}, max_tokens=200)
    assert text.startswith("{")


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "robot"},
        nested(100),
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {
            "$defs": {"list": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/list"}}},
            "$ref": "#/$defs/list",
        },
    ],
    ids=["unknown type", "nested too deep", "itself", "holds itself", "lists without end"],
)
def test_a_schema_that_cannot_be_kept_to_is_refused(endpoint: Endpoint, schema: dict[str, Any]) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    status, content = endpoint.ask(response_format=wanted)
    assert (status, content["error"]["code"]) == (400, "unsupported_schema")
    assert content["error"]["param"] == "response_format"
