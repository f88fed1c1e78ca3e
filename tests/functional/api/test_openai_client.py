"""The published openai client against the openai surface: what it sends arrives, what it gets it understands."""

import httpx2
import openai
import pytest

from tests.factories import principal, rows
from tests.gateway import Gateway


@pytest.fixture
def client(api: Gateway) -> openai.OpenAI:
    return openai.OpenAI(
        api_key=str(api.key),
        base_url="http://api.test/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(lambda request: _through(api, request))),
        max_retries=0,
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
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True)
    assert (refused.value.code, refused.value.param) == ("streaming_unsupported", "stream")
