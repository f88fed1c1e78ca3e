"""Answers in either spelling, with what a newer server adds; events of webhooks; streams that break."""

import json
from datetime import UTC, datetime

import httpx
import pytest

from luthier.client import AsyncPage, Conflict, ConnectionFailed, Luthier, NotFound, UnexpectedAnswer
from luthier.client.api.fine_tuning_jobs import JobCreated
from luthier.client.names import camel, snake
from luthier.client.streaming import Stream
from luthier.client.uploading import Source
from luthier.client.webhooks import SignatureInvalid
from luthier.webhooks import signing

CREATED = {"id": "ftjob_1", "name": "n", "baseModel": "b", "status": "queued", "createdAt": "2026-01-01T00:00:00Z"}


def client(*answers: httpx.Response) -> Luthier:
    left = list(answers)
    http = httpx.Client(transport=httpx.MockTransport(lambda _: left.pop(0)))
    return Luthier("k", "http://h", http_client=http, max_retries=0)


def test_a_newer_servers_fields_and_words_are_read() -> None:
    job = JobCreated.model_validate(CREATED | {"status": "dreaming", "gpuHours": 3})
    assert (job.status, job.gpu_hours, job.gpuHours, job.base_model, job.baseModel) == ("dreaming", 3, 3, "b", "b")
    with pytest.raises(AttributeError):
        _ = job.no_such_field


def test_an_older_servers_answer_says_what_to_do() -> None:
    with pytest.raises(UnexpectedAnswer, match="Update the package") as refused:
        client(httpx.Response(200, json={"id": "ftjob_1"})).fine_tuning.jobs.get("ftjob_1")
    assert "GET /api/v1/fine-tuning/jobs/{job_id}" in str(refused.value)
    with pytest.raises(UnexpectedAnswer, match="no JSON"):
        client(httpx.Response(200, text="<html>")).fine_tuning.stats()


@pytest.mark.parametrize(
    ("wire", "python"),
    [("baseModel", "base_model"), ("id", "id"), ("f1_score", "f1_score"), ("createdAt", "created_at")],
)
def test_names_have_two_spellings(wire: str, python: str) -> None:
    assert snake(wire) == python
    assert camel(python) == wire or "_s" in wire


def test_an_event_is_verified_and_read_by_attribute() -> None:
    secret, body = signing.new_secret(), json.dumps({"event": "training.completed", "data": {"jobId": "j"}}).encode()
    headers = signing.headers("evt_1", "training.completed", int(datetime.now(UTC).timestamp()), body, [secret])
    webhooks = client().webhooks
    event = webhooks.verify(body, headers, secret)
    assert (event.event, event.data.job_id) == ("training.completed", "j")
    with pytest.raises(SignatureInvalid):
        webhooks.verify(body + b" ", headers, secret)


def stream(text: str) -> Stream:
    return Stream(httpx.Response(200, content=iter([text.encode()])))


def test_a_stream_that_ends_without_its_end_has_broken_off() -> None:
    chunks = iter(stream(': keep-alive\n\ndata: {"choices": []}\n\n'))
    assert next(chunks).choices == []
    with pytest.raises(ConnectionFailed, match="broke off"):
        next(chunks)
    assert list(stream("data: [DONE]\n\n")) == []


def test_a_stream_that_is_refused_says_why() -> None:
    told = b'{"error": {"code": "model_paused", "message": "Resume it.", "type": "conflict_error", "param": null}}'
    with pytest.raises(Conflict) as refused:
        client(httpx.Response(409, content=iter([told]))).chat.completions.create(model="m", messages=[], stream=True)
    assert (refused.value.code, refused.value.message) == ("model_paused", "Resume it.")


def test_an_id_is_one_segment_of_a_path_whatever_it_holds() -> None:
    asked: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(404, json={})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    with pytest.raises(NotFound):
        Luthier("k", "http://h/base", http_client=http).models.get("org/a?b#c%2F d{model_id}")
    assert asked == [b"/base/v1/models/org%2Fa%3Fb%23c%252F%20d%7Bmodel_id%7D"]


def test_a_page_that_was_not_fetched_says_how() -> None:
    page: AsyncPage[object] = AsyncPage(None, None, {})  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="await"):
        _ = page.data


@pytest.mark.parametrize("size", [0, 1, 5, 10, 11])
def test_a_source_is_read_from_its_beginning_as_often_as_need_be(tmp_path, size: int) -> None:  # type: ignore[no-untyped-def]
    content = bytes(range(size))
    (tmp_path / "a.jsonl").write_bytes(content)
    with (tmp_path / "a.jsonl").open("rb") as file:
        for source in (Source(tmp_path / "a.jsonl", None), Source(content, "a.jsonl"), Source(file, None)):
            assert (source.size, source.name) == (size, "a.jsonl")
            for _ in range(2):
                pieces = list(source.pieces(5))
                assert b"".join(pieces) == content
                assert all(len(piece) == 5 for piece in pieces[:-1])


def test_a_file_opened_as_text_is_refused(tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a").write_text("a")
    with (tmp_path / "a").open() as file, pytest.raises(Exception, match="binary mode"):
        Source(file, None)  # type: ignore[arg-type]
