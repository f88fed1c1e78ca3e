"""The published openai client against the openai surface: what it sends arrives, what it gets it understands."""

import httpx2
import openai
import pytest

from tests.factories import principal, rows
from tests.gateway import Gateway


@pytest.fixture
def client(api: Gateway) -> openai.OpenAI:
    return client_of(api)


def client_of(api: Gateway, *, strict: bool = True) -> openai.OpenAI:
    return openai.OpenAI(
        api_key=str(api.key),
        base_url="http://api.test/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(lambda request: _through(api, request))),
        max_retries=0,
        _strict_response_validation=strict,
    )


def _through(api: Gateway, request: httpx2.Request) -> httpx2.Response:
    path = request.url.raw_path.decode()
    answer = api.stranger().send(request.method, path, request.read() or None, headers=dict(request.headers))
    return httpx2.Response(answer.status, headers=answer.headers, text=answer.text)


def test_files_are_uploaded_listed_read_and_deleted(client: openai.OpenAI) -> None:
    file = client.files.create(file=("train.jsonl", rows(2)), purpose="fine-tune")
    assert (file.status, file.filename, file.object) == ("processed", "train.jsonl", "file")
    assert [listed.id for listed in client.files.list()] == [file.id]
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == rows(2)
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError) as refused:
        client.files.retrieve(file.id)
    assert refused.value.code == "file_not_found"
    assert (refused.value.request_id or "").startswith("req_")


def test_files_are_paged_through(client: openai.OpenAI) -> None:
    ids = [client.files.create(file=("a.jsonl", rows(1)), purpose="fine-tune").id for _ in range(3)]
    assert [file.id for file in client.files.list(limit=2)] == ids[::-1]


def test_a_deployed_model_answers(api: Gateway, client: openai.OpenAI) -> None:
    name = api.platform.completed(suffix="v1").result_model or ""
    assert client.models.retrieve(name).owned_by == "org_a"
    assert [model.id for model in client.models.list()] == [name]
    with pytest.raises(openai.ConflictError):
        client.chat.completions.create(model=name, messages=[{"role": "user", "content": "Hello"}])
    api.platform.deployed(principal(), name)
    answer = client.chat.completions.create(
        model=name, messages=[{"role": "user", "content": "Hello"}], temperature=0, max_tokens=5
    )
    assert answer.choices[0].message.content == "Hello"


def test_a_bad_request_raises_the_clients_own_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "x"}], stream_options={"include_usage": True}
        )
    assert (refused.value.code, refused.value.param) == ("invalid_request", "stream_options")


@pytest.fixture
def model(api: Gateway) -> str:
    return api.platform.deployed(principal(), api.platform.completed(suffix="v1").result_model or "").model_name


def test_a_chat_streams(client: openai.OpenAI, model: str) -> None:
    asked = {"model": model, "messages": [{"role": "user", "content": "Tell me more"}]}
    with client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == "Tell me more"
    assert {chunk.model for chunk in chunks} == {model}
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 3
    with client.chat.completions.stream(**asked) as events:
        assert events.get_final_completion().choices[0].message.content == "Tell me more"


def test_a_text_is_completed_whole_and_streamed(api: Gateway, client: openai.OpenAI, model: str) -> None:
    whole = client.completions.create(model=model, prompt="Once upon a time", logprobs=2)
    assert (whole.object, whole.choices[0].text, whole.model) == ("text_completion", "Once upon a time", model)
    # OpenAI's own chunks have a finish_reason of null, which its client's types do not.
    chunks = list(client_of(api, strict=False).completions.create(model=model, prompt="Once upon a time", stream=True))
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Once upon a time"


def test_a_stream_that_breaks_raises_the_clients_own_error(api: Gateway, client: openai.OpenAI, model: str) -> None:
    api.platform.runtime.broken = OSError("connection reset")
    stream = client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "one two three"}], stream=True
    )
    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["one ", "two "]
    with pytest.raises(openai.APIError) as broken:
        next(stream)
    assert (broken.value.code, broken.value.type) == ("model_failed", "server_error")


def test_a_model_is_deleted(client: openai.OpenAI, api: Gateway) -> None:
    name = api.platform.completed(suffix="v1").result_model or ""
    assert client.models.delete(name).deleted
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(name)
