"""The published openai client makes batches of files, with strict response validation."""

import json

import httpx2
import openai
import pytest

from tests.factories import BASE_MODEL, principal
from tests.functional.batches.world import jsonl, line
from tests.gateway import Gateway


@pytest.fixture
def client(api: Gateway) -> openai.OpenAI:
    api.platform.deployed(principal(), BASE_MODEL)

    def through(request: httpx2.Request) -> httpx2.Response:
        path = request.url.raw_path.decode()
        answer = api.stranger().send(request.method, path, request.read() or None, headers=dict(request.headers))
        return httpx2.Response(answer.status, headers=answer.headers, text=answer.text)

    return openai.OpenAI(
        api_key=str(api.key),
        base_url="http://api.test/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(through)),
        max_retries=0,
        _strict_response_validation=True,
    )


def test_a_file_of_requests_is_answered(api: Gateway, client: openai.OpenAI) -> None:
    content = jsonl(*(line(f"request-{i}", f"question {i}") for i in range(3)), line("bad", body={"temperature": 9}))
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    assert (file.purpose, file.status) == ("batch", "processed")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"job": "nightly"},
        output_expires_after={"anchor": "created_at", "seconds": 3600},
    )  # fmt: skip
    assert (batch.status, batch.metadata, batch.input_file_id) == ("validating", {"job": "nightly"}, file.id)
    api.answer_batches()
    done = client.batches.retrieve(batch.id)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (4, 3, 1)
    assert done.completed_at is not None
    assert done.in_progress_at is not None
    assert done.model == BASE_MODEL
    output = [json.loads(one) for one in client.files.content(done.output_file_id or "").text.splitlines()]
    assert [one["custom_id"] for one in output] == [f"request-{i}" for i in range(3)]
    assert output[1]["response"]["body"]["choices"][0]["message"]["content"] == "question 1"
    [failed] = [json.loads(one) for one in client.files.content(done.error_file_id or "").text.splitlines()]
    assert (failed["custom_id"], failed["response"]["body"]["error"]["param"]) == ("bad", "temperature")
    assert client.files.retrieve(done.output_file_id or "").purpose == "batch_output"
    assert {one.id for one in client.files.list(purpose="batch_output")} == {done.output_file_id, done.error_file_id}


def test_batches_are_listed_cancelled_and_refused(api: Gateway, client: openai.OpenAI) -> None:
    file = client.files.create(file=("in.jsonl", jsonl(line("a"))), purpose="batch")
    made = [
        client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"n": str(i)}
        ).id
        for i in range(3)
    ]
    assert [batch.id for batch in client.batches.list(limit=2)] == made[::-1]
    assert client.batches.cancel(made[0]).status == "cancelling"
    api.answer_batches()
    assert client.batches.retrieve(made[0]).status == "cancelled"
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(made[1])
    with pytest.raises(openai.NotFoundError):
        client.batches.retrieve("batch_nobody")
    with pytest.raises(openai.BadRequestError) as refused:
        client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
    assert refused.value.param == "endpoint"
    with pytest.raises(openai.NotFoundError):
        client.batches.create(input_file_id="file-x", endpoint="/v1/chat/completions", completion_window="24h")


def test_a_file_with_a_bad_line_fails_the_batch_and_names_the_line(api: Gateway, client: openai.OpenAI) -> None:
    file = client.files.create(file=("in.jsonl", jsonl(line("a")) + b"garbage\n"), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    api.answer_batches()
    failed = client.batches.retrieve(batch.id)
    assert (failed.status, failed.output_file_id) == ("failed", None)
    assert failed.errors is not None
    assert failed.errors.data is not None
    assert (failed.errors.data[0].line, failed.errors.data[0].code) == (2, "invalid_json_line")
