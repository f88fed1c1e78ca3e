"""Batches of uploaded files: what is judged first, and what the two files hold in the end."""

import json
from typing import Any

import pytest

from luthier.batches import content, lines
from luthier.batches.entity import LONGEST_LINE
from luthier.errors import InvalidRequest, NotFound, PayloadTooLarge, Unavailable
from tests.factories import BASE_MODEL, principal, rows
from tests.functional.batches.world import WHO, World, jsonl, line


def test_outputs_and_errors_are_files_in_the_order_of_the_lines_under_their_own_names(world: World) -> None:
    def answer(question: str) -> str:
        if question == "2":
            raise InvalidRequest("Too long.", param="messages")
        return question

    world.engine.answer = answer
    batch = world.of_file(jsonl(*(line(f"line {i}", str(i)) for i in range(60))), metadata={"a": "b"})
    assert (batch.status, batch.total, batch.metadata) == ("validating", 0, {"a": "b"})
    world.work()
    done = world.fresh(batch)
    assert (done.status, done.total, done.completed, done.failed) == ("completed", 60, 59, 1)
    assert list(done.moments) == ["validating", "in_progress", "finalizing", "completed"]
    written = world.lines(done.output_file_id)
    assert [one["custom_id"] for one in written] == [f"line {i}" for i in range(60) if i != 2]
    assert written[0]["id"].startswith("batch_req_")
    assert written[0]["error"] is None
    assert written[0]["response"]["status_code"] == 200
    assert written[0]["response"]["body"]["choices"][0]["message"]["content"] == "0"
    [failed] = world.lines(done.error_file_id)
    assert (failed["custom_id"], failed["error"], failed["response"]["status_code"]) == ("line 2", None, 400)
    assert failed["response"]["body"] == {
        "error": {
            "message": "Too long.",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "invalid_request",
        }
    }
    assert world.tokens() == (59, 295)
    file = world.platform.datasets.get(WHO, done.output_file_id or "")
    assert (file.purpose, file.rows, file.status) == ("batch_output", 59, "processed")
    assert file.bytes == len(jsonl(*written).replace(b'": ', b'":').replace(b', "', b',"'))


def test_without_failures_there_is_no_error_file(world: World) -> None:
    batch = world.of_file(jsonl(line("a")))
    world.work()
    done = world.fresh(batch)
    assert (done.output_file_id, done.error_file_id) == (batch.output_id, None)
    with pytest.raises(NotFound):
        world.platform.datasets.get(WHO, batch.error_id or "")


@pytest.mark.parametrize(
    ("second", "code", "param"),
    [
        (b"not json\n", "invalid_json_line", None),
        (b"\xff\xfe\n", "invalid_json_line", None),
        (b"[1]\n", "invalid_json_line", None),
        (b'{"a":' * 100_000 + b"\n", "invalid_json_line", None),
        (jsonl(line("first")), "duplicate_custom_id", "custom_id"),
        (jsonl(line("")), "missing_field", "custom_id"),
        (jsonl(line("x" * 513)), "missing_field", "custom_id"),
        (jsonl(line("b", method="GET")), "invalid_value", "method"),
        (jsonl(line("b", url="/v1/embeddings")), "invalid_value", "url"),
        (jsonl(line("b", extra=1)), "unknown_field", None),
        (jsonl(line("b") | {"body": "text"}), "missing_field", "body"),
        (jsonl(line("b", body={"model": "other"})), "mismatched_model", "body.model"),
        (jsonl(line("b", body={"model": "\ud800"})), "missing_field", "body.model"),
        (jsonl(line("b", "x" * LONGEST_LINE)), "line_too_long", None),
    ],
)
def test_a_line_that_is_no_request_fails_the_batch_and_is_named(
    world: World, second: bytes, code: str, param: str | None
) -> None:
    batch = world.of_file(jsonl(line("first")) + second + jsonl(line("last")))
    world.work()
    done = world.fresh(batch)
    assert (done.status, done.output_file_id, world.engine.asked) == ("failed", None, [])
    assert (done.errors[0]["line"], done.errors[0]["code"], done.errors[0]["param"]) == (2, code, param)
    assert world.platform.events()[-1] == "batch.failed"


def test_an_empty_file_and_an_unknown_model_fail_the_batch(world: World) -> None:
    for content_, code in ((b"\n \n", "empty_file"), (jsonl(line("a", body={"model": "nobody"})), "model_not_found")):
        batch = world.of_file(content_)
        world.work()
        assert world.fresh(batch).status == "failed"
        assert [fault["code"] for fault in world.fresh(batch).errors] == [code]


def test_a_file_with_more_requests_than_a_batch_takes_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_LINES", 2)
    batch = world.of_file(jsonl(line("a"), line("b"), line("c")))
    world.work()
    assert world.fresh(batch).errors[0]["code"] == "too_many_requests"


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"temperature": 3}, "invalid_value", "temperature"),
        ({"stream": True}, "streaming_unsupported", "stream"),
        ({"wizard": 1}, "unknown_field", "wizard"),
        ({"messages": []}, "invalid_value", "messages"),
    ],
)
def test_a_body_that_alone_would_be_refused_is_refused_alone(
    world: World, body: dict[str, Any], code: str, param: str
) -> None:
    batch = world.of_file(jsonl(line("a", body=body), line("b")))
    world.work()
    done = world.fresh(batch)
    assert (done.status, done.completed, done.failed) == ("completed", 1, 1)
    [failed] = world.lines(done.error_file_id)
    error = failed["response"]["body"]["error"]
    assert (failed["response"]["status_code"], error["code"], error["param"]) == (400, code, param)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n\r\n  \n"])
def test_a_file_is_read_line_by_line_however_it_is_cut_into_blocks(
    world: World, monkeypatch: pytest.MonkeyPatch, ending: bytes
) -> None:
    monkeypatch.setattr(content, "LONGEST_LINE", 500)
    questions = [f"frage {i} " + "ü" * (i % 30) for i in range(50)]
    written = b"\n".join(json.dumps(line(str(i), q), ensure_ascii=False).encode() for i, q in enumerate(questions))
    for block in (501, 777, len(written)):
        monkeypatch.setattr(content, "_BLOCK", block)
        batch = world.of_file(written.replace(b"\n", b"\n\n", 3) + ending)
        world.work()
        done = world.fresh(batch)
        assert (done.status, done.total) == ("completed", 50), block
        texts = [
            one["response"]["body"]["choices"][0]["message"]["content"] for one in world.lines(done.output_file_id)
        ]
        assert texts == [question.upper() for question in questions]


def test_what_was_not_asked_before_the_window_closed_stands_in_the_error_file(world: World) -> None:
    def answer(question: str) -> str:
        if question != "0":
            raise Unavailable("It sleeps.", code="model_sleeping", retry_after=60)
        return question

    world.engine.answer = answer
    batch = world.of_file(jsonl(*(line(str(i), str(i)) for i in range(3))))
    world.work()
    world.wait(hours=25)
    done = world.fresh(batch)
    assert (done.status, done.completed, done.failed) == ("expired", 1, 0)
    assert [one["custom_id"] for one in world.lines(done.output_file_id)] == ["0"]
    unasked = world.lines(done.error_file_id)
    assert [(one["custom_id"], one["response"], one["error"]["code"]) for one in unasked] == [
        ("1", None, "batch_expired"),
        ("2", None, "batch_expired"),
    ]
    assert all(one["id"].startswith("batch_req_") for one in unasked)


def test_a_batch_that_was_never_validated_expires_or_is_cancelled_too(world: World) -> None:
    late, unwanted = world.of_file(jsonl(line("a"))), world.of_file(jsonl(line("a")) + b"garbage\n")
    world.service.cancel(WHO, unwanted.id, "file")
    world.platform.clock.advance(hours=25)
    world.work()
    assert (world.fresh(late).status, world.fresh(unwanted).status) == ("expired", "cancelled")
    for batch in (late, unwanted):
        assert [one["custom_id"] for one in world.lines(batch.error_id)] == ["a"]


def test_the_requests_are_those_of_the_moment_it_was_made(world: World) -> None:
    batch = world.of_file(jsonl(line("a")))
    world.platform.datasets.delete(WHO, batch.input_file_id or "")
    world.work()
    assert world.fresh(batch).completed == 1


def test_only_a_file_of_the_purpose_batch_makes_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    train = world.platform.dataset(WHO)
    with pytest.raises(InvalidRequest) as refused:
        world.service.ask_file(WHO, train.id, "/v1/chat/completions")
    assert refused.value.param == "input_file_id"
    theirs = world.platform.datasets.upload(principal("org_b"), filename="a.jsonl", purpose="batch", content=b"{}\n")
    with pytest.raises(NotFound):
        world.service.ask_file(WHO, theirs.id, "/v1/chat/completions")
    from luthier.batches import service

    monkeypatch.setattr(service, "MOST_BYTES", 10)
    with pytest.raises(PayloadTooLarge):
        world.of_file(jsonl(line("a")))


def test_nothing_is_trained_on_or_found_by_the_name_of_a_batchs_file(world: World) -> None:
    world.platform.datasets.upload(WHO, filename="rows.jsonl", purpose="fine-tune", content=rows())
    file = world.platform.datasets.upload(WHO, filename="rows.jsonl", purpose="batch", content=jsonl(line("a")))
    assert file.rows == 1
    found = world.platform.datasets.referred("org_a", "rows.jsonl")
    assert found is not None
    assert found.purpose == "fine-tune"
    with pytest.raises(InvalidRequest, match="purpose batch"):
        world.platform.job(WHO, training_dataset=file.id)
    with pytest.raises(InvalidRequest, match="purpose batch"):
        world.platform.evaluations.evaluate(WHO, "smollm2-135m-instruct", [file.id])


def test_pages_of_batches_are_newest_first_and_hold_files_only(world: World) -> None:
    made = [world.of_file(jsonl(line("a"))).id for _ in range(3)]
    world.batch("a")
    first, more = world.service.page(WHO, limit=2)
    assert ([batch.id for batch in first], more) == (made[:0:-1], True)
    last, more = world.service.page(WHO, limit=2, after=first[-1].id)
    assert ([batch.id for batch in last], more) == (made[:1], False)
    with pytest.raises(InvalidRequest):
        world.service.page(WHO, limit=2, after="x")


def test_a_file_may_ask_for_texts_to_be_completed(world: World) -> None:
    asked = line("a") | {"url": "/v1/completions", "body": {"model": BASE_MODEL, "prompt": "once"}}
    batch = world.of_file(jsonl(asked), endpoint="/v1/completions")
    world.work()
    done = world.fresh(batch)
    [row] = world.lines(done.output_file_id)
    assert (row["response"]["body"]["object"], row["response"]["body"]["choices"][0]["text"]) == (
        "text_completion",
        "ONCE",
    )


def test_a_line_for_the_other_endpoint_is_refused(world: World) -> None:
    batch = world.of_file(jsonl(line("a")), endpoint="/v1/completions")
    world.work()
    assert world.fresh(batch).errors[0]["param"] == "url"
