"""Answers in parts: metered however they end, counted at the alias they came through, alive while nothing is said."""

import json
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest

from functions.api import completions, event_stream, server
from luthier import wiring
from luthier.deployments.entity import Deployment
from luthier.errors import Conflict, InvalidRequest, Unavailable
from luthier.inference import chunks
from tests.factories import BASE_MODEL, Platform, principal
from tests.gateway import Gateway

A = principal("org_a")
WORDS = "one two three four five"


def asked(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": WORDS}], **more}


def used(by: Any) -> list[tuple[int, int, int]]:
    """Requests, prompt tokens and completion tokens, as a usage service or a platform's has counted them."""
    rows = getattr(by, "usage", by).summary(A, start=None, end=None, by=["kind"]).rows
    return [
        (row.use.requests, row.use.prompt_tokens, row.use.completion_tokens) for row in rows if row.kind == "inference"
    ]


@pytest.fixture
def made(platform: Platform) -> Deployment:
    return platform.deployed(A, platform.completed(A).result_model or "")


def test_an_answer_in_parts_is_the_answer_in_one_piece_and_metered_once(platform: Platform, made: Deployment) -> None:
    stream = platform.inference.stream(A, asked(made.model_name))
    assert used(platform) == []
    texts = [chunk["choices"][0]["delta"]["content"] for chunk in stream.chunks if chunk["choices"]]
    assert "".join(texts) == WORDS
    assert (stream.by.deployment_id, stream.by.version) == (made.id, made.model_version)
    assert used(platform) == [(1, 5, 5)]
    whole = platform.inference.complete(A, asked(made.model_name)).content
    assert (whole["object"], whole["model"]) == ("chat.completion", made.model_name)
    assert whole["choices"] == [
        {
            "index": 0,
            "logprobs": None,
            "message": {"role": "assistant", "content": WORDS},
            "finish_reason": "stop",
        }
    ]
    assert whole["usage"] == {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10}
    assert used(platform) == [(2, 10, 10)]


def test_what_was_produced_before_an_answer_broke_off_is_metered(platform: Platform, made: Deployment) -> None:
    platform.runtime.broken = OSError("connection reset")
    with pytest.raises(Unavailable) as broken:
        list(platform.inference.stream(A, asked(made.model_name)).chunks)
    assert broken.value.code == "model_failed"
    assert used(platform) == [(1, 5, 1)]
    assert platform.runtime.closed == 1


def test_whoever_wants_no_more_ends_the_answer_and_pays_for_what_there_was(
    platform: Platform, made: Deployment
) -> None:
    stream = platform.inference.stream(A, asked(made.model_name))
    next(stream.chunks)
    next(stream.chunks)
    stream.stopped = True
    assert list(stream.chunks) == []
    assert used(platform) == [(1, 5, 2)]
    assert platform.runtime.closed == 1


def test_what_cannot_begin_is_refused_at_once(platform: Platform) -> None:
    with pytest.raises(Conflict):
        platform.inference.stream(A, asked(BASE_MODEL))


def test_an_alias_counts_a_stream_that_breaks_as_a_failure_of_its_route(
    platform: Platform, made: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from luthier.aliases.service import Wanted

    platform.aliases.put(A, "support", routes=[Wanted(deployment_id=made.id, weight=1)], rollback=None)
    noted: list[bool] = []
    monkeypatch.setattr(platform.aliases, "note", lambda alias, deployment, *, failed: noted.append(failed))
    list(platform.inference.stream(A, asked("support")).chunks)
    platform.runtime.broken = OSError("connection reset")
    with pytest.raises(Unavailable):
        list(platform.inference.stream(A, asked("support")).chunks)
    assert noted == [False, True]


def parts(*events: Any) -> list[bytes]:
    text = "".join(f"data: {event if event == '[DONE]' else json.dumps(event)}\n\n" for event in events)
    return [text.encode()]


def test_an_answer_without_its_end_is_broken_off() -> None:
    with pytest.raises(Unavailable, match="broke off"):
        list(chunks.read(parts({"choices": []})))
    assert list(chunks.read(parts({"choices": []}, "[DONE]"))) == [{"choices": []}]


def test_an_error_event_of_the_engine_is_the_callers_or_ours(platform: Platform, made: Deployment) -> None:
    for kind, family in (("invalid_request_error", InvalidRequest), ("server_error", Unavailable)):
        told = parts({"error": {"message": "No.", "type": kind, "param": None, "code": None}})
        body = _Events([{"PayloadPart": {"Bytes": part}} for part in told])
        platform.runtime.invoke_endpoint_with_response_stream = lambda body=body, **_: {"Body": body}  # type: ignore[assignment]
        with pytest.raises(family, match="No"):
            list(platform.inference.stream(A, asked(made.model_name)).chunks)


class _Events(list[dict[str, Any]]):
    def close(self) -> None:
        pass


def test_gathered_chunks_make_up_tool_calls_log_probabilities_and_several_choices() -> None:
    def chunk(index: int, delta: dict[str, Any], reason: str | None = None, **more: Any) -> dict[str, Any]:
        return {"object": "chat.completion.chunk", "choices": [
            {"index": index, "delta": delta, "finish_reason": reason, "logprobs": None, **more}
        ]}  # fmt: skip

    def call(**function: str) -> dict[str, Any]:
        return {"tool_calls": [{"index": 0, "function": function}]}

    first = {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather"}}]}
    answer = chunks.gathered(
        [
            chunk(1, {"role": "assistant", "content": "Hi"}, logprobs={"content": [{"token": "Hi"}], "refusal": None}),
            chunk(0, {"role": "assistant", "content": ""}),
            chunk(0, first),
            chunk(0, call(arguments='{"city": ')),
            chunk(1, {"content": "!"}, "stop", logprobs={"content": [{"token": "!"}], "refusal": None}),
            chunk(0, call(arguments='"Bergen"}'), "tool_calls"),
            {"object": "chat.completion.chunk", "choices": [], "usage": {"total_tokens": 3}},
        ]
    )
    called, spoken = answer["choices"]
    assert called["finish_reason"] == "tool_calls"
    assert called["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Bergen"}'},
            }
        ],
    }
    assert (spoken["message"]["content"], spoken["finish_reason"]) == ("Hi!", "stop")
    assert [entry["token"] for entry in spoken["logprobs"]["content"]] == ["Hi", "!"]
    assert answer["usage"] == {"total_tokens": 3}


def test_a_comment_keeps_the_connection_open_while_the_model_is_silent(
    platform: Platform, made: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "KEEP_ALIVE_SECONDS", 0.02)
    platform.runtime.gate = threading.Event()
    stream = platform.inference.stream(A, asked(made.model_name))
    events = event_stream.events(stream, lambda error: {}, usage=False)
    for event in events:
        if event == b": keep-alive\n\n":
            break
    platform.runtime.gate.set()
    assert list(events)[-1] == b"data: [DONE]\n\n"


class Door:
    """The streaming function's own server."""

    def __init__(self, api: Gateway) -> None:
        self._server = server.Server(completions.app, 0)
        self._key = str(api.key)
        self._opened: list[tuple[HTTPConnection, HTTPResponse]] = []
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def post(self, path: str, body: Any, **headers: str) -> tuple[HTTPConnection, HTTPResponse]:
        connection = HTTPConnection("127.0.0.1", self._server.server_port, timeout=10)
        # As the adapter tells of API Gateway's context.
        context = json.dumps({"requestId": "1", "stage": "prod", "identity": {"sourceIp": "203.0.113.7"}})
        sent = {"X-API-Key": self._key, "Content-Type": "application/json", server.CONTEXT_HEADER: context, **headers}
        connection.request("POST", path, json.dumps(body), sent)
        self._opened.append((connection, connection.getresponse()))
        return self._opened[-1]

    def close(self) -> None:
        for connection, response in self._opened:
            response.close()
            connection.close()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def door(api: Gateway) -> Iterator[Door]:
    door = Door(api)
    yield door
    door.close()


CHAT = "/v1/chat/completions"


def test_the_first_words_arrive_before_the_last_are_there(api: Gateway, door: Door) -> None:
    made = api.platform.deployed(A, BASE_MODEL)
    gate = api.platform.runtime.gate = threading.Event()
    _, response = door.post(CHAT, asked(BASE_MODEL, stream=True))
    assert (response.status, response.getheader("Content-Type")) == (200, event_stream.CONTENT_TYPE)
    assert (response.getheader("x-luthier-deployment"), response.getheader("Cache-Control")) == (made.id, "no-store")
    assert (response.getheader("x-request-id") or "").startswith("req_")
    assert b"one " in response.readline()
    # Another one is not held up meanwhile.
    assert door.post("/v1/nowhere", {})[1].status == 404
    gate.set()
    assert response.read().endswith(b"data: [DONE]\n\n")


def test_errors_before_the_first_byte_have_their_status_and_shape(api: Gateway, door: Door) -> None:
    _, refused = door.post(CHAT, asked(BASE_MODEL, stream=True))
    assert refused.status == 409
    assert set(json.loads(refused.read())["error"]) == {"message", "type", "param", "code"}
    assert door.post(CHAT, asked(BASE_MODEL), **{"X-API-Key": "sk-wrong"})[1].status == 401


def test_an_error_after_the_first_byte_is_one_event_and_the_end(api: Gateway, door: Door) -> None:
    api.platform.deployed(A, BASE_MODEL)
    api.platform.runtime.broken = ValueError("secret detail")
    _, response = door.post(CHAT, asked(BASE_MODEL, stream=True))
    *_, last = response.read().decode().strip().split("\n\n")
    error = json.loads(last.removeprefix("data: "))["error"]
    assert (error["type"], error["code"], error["param"]) == ("server_error", "model_failed", None)
    assert "secret" not in last


def test_a_client_that_hangs_up_ends_the_answer_which_is_metered_as_far_as_it_came(api: Gateway, door: Door) -> None:
    api.platform.deployed(A, BASE_MODEL)
    gate = api.platform.runtime.gate = threading.Event()
    many = [{"role": "user", "content": "word " * 5_000}]
    connection, response = door.post(CHAT, {**asked(BASE_MODEL, stream=True), "messages": many})
    response.readline()
    response.close()
    connection.close()
    gate.set()
    until = time.monotonic() + 10
    while not used(wiring.usage()) and time.monotonic() < until:
        time.sleep(0.02)
    [(_, _, completion_tokens)] = used(wiring.usage())
    assert 0 < completion_tokens < 5_000
