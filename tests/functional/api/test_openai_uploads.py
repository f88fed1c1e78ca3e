"""OpenAI's uploads and expiring files through its own client, strict about every field it knows."""

import asyncio
from hashlib import md5
from pathlib import Path

import httpx2
import openai
import pytest

from luthier import clock
from tests.factories import rows
from tests.functional.api.test_files import form
from tests.functional.api.test_openai_client import client_of
from tests.gateway import Gateway

CONTENT = rows(40)


@pytest.fixture
def client(api: Gateway) -> openai.OpenAI:
    return client_of(api)


def test_a_file_is_uploaded_in_parts_by_hand(client: openai.OpenAI) -> None:
    upload = client.uploads.create(
        bytes=len(CONTENT), filename="train.jsonl", mime_type="text/jsonl", purpose="fine-tune"
    )
    assert (upload.object, upload.status, upload.bytes, upload.file) == ("upload", "pending", len(CONTENT), None)
    assert (upload.filename, upload.purpose) == ("train.jsonl", "fine-tune")
    assert upload.expires_at - upload.created_at == 3600
    parts = [client.uploads.parts.create(upload.id, data=data) for data in (CONTENT[:1000], CONTENT[1000:])]
    assert [(part.object, part.upload_id) for part in parts] == [("upload.part", upload.id)] * 2
    ids = [part.id for part in parts]
    done = client.uploads.complete(upload.id, part_ids=ids, md5=md5(CONTENT).hexdigest())
    assert (done.id, done.status) == (upload.id, "completed")
    assert done.file
    assert done.file.status == "processed"
    assert client.files.retrieve(done.file.id) == done.file
    assert client.files.content(done.file.id).read() == CONTENT
    assert client.uploads.complete(upload.id, part_ids=ids, md5=md5(CONTENT).hexdigest()) == done


def test_the_clients_own_chunks_make_a_file(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(CONTENT)
    done = client.uploads.upload_file_chunked(
        file=path, mime_type="text/jsonl", purpose="fine-tune", part_size=700, md5=md5(CONTENT).hexdigest()
    )
    assert (done.status, done.filename) == ("completed", "train.jsonl")
    assert done.file
    assert client.files.wait_for_processing(done.file.id).status == "processed"
    assert client.fine_tuning.jobs.create(model="smollm2-135m-instruct", training_file=done.file.id).id


def test_the_clients_default_part_is_refused_with_the_size_to_send(client: openai.OpenAI) -> None:
    upload = client.uploads.create(bytes=5_000_000, filename="a.jsonl", mime_type="text/jsonl", purpose="fine-tune")
    for size in (4_300_000, 5_000_000):
        with pytest.raises(openai.APIStatusError, match=r"part_size=4_000_000|parts of 4 MB") as refused:
            client.uploads.parts.create(upload.id, data=b"x" * size)
        assert refused.value.status_code == 413


def test_the_async_client_adds_parts_side_by_side(api: Gateway) -> None:
    async def upload() -> str:
        client = openai.AsyncOpenAI(
            api_key=str(api.key),
            base_url="http://api.test/v1",
            http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(lambda request: _through(api, request))),
            _strict_response_validation=True,
        )
        begun = await client.uploads.create(
            bytes=len(CONTENT), filename="a.jsonl", mime_type="text/jsonl", purpose="fine-tune"
        )
        pieces = [CONTENT[at : at + 900] for at in range(0, len(CONTENT), 900)]
        parts = await asyncio.gather(*(client.uploads.parts.create(begun.id, data=piece) for piece in pieces))
        done = await client.uploads.complete(begun.id, part_ids=[part.id for part in parts])
        assert done.file
        return (await client.files.content(done.file.id)).text

    assert asyncio.run(upload()) == CONTENT.decode()


def _through(api: Gateway, request: httpx2.Request) -> httpx2.Response:
    path = request.url.raw_path.decode()
    answer = api.stranger().send(request.method, path, request.read() or None, headers=dict(request.headers))
    return httpx2.Response(answer.status, headers=answer.headers, text=answer.text)


def test_an_upload_is_cancelled(client: openai.OpenAI) -> None:
    upload = client.uploads.create(bytes=9, filename="a.jsonl", mime_type="text/jsonl", purpose="fine-tune")
    assert client.uploads.cancel(upload.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError) as refused:
        client.uploads.parts.create(upload.id, data=b"x")
    assert refused.value.code == "upload_not_pending"


def test_more_than_a_gigabyte_is_pointed_to_the_presigned_address(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError, match="/v1/files/presigned") as refused:
        client.uploads.create(bytes=2**30 + 1, filename="a.jsonl", mime_type="text/jsonl", purpose="fine-tune")
    assert (refused.value.status_code, refused.value.code, refused.value.param) == (413, "file_too_large", "bytes")


def test_a_silent_retry_of_a_create_makes_one_upload(api: Gateway) -> None:
    body = {"bytes": 9, "filename": "a.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}
    made = [
        api.post("/v1/uploads", body, headers={"x-stainless-retry-count": str(count)}).json()["id"] for count in (0, 1)
    ]
    assert made == [made[0]] * 2


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"md5": "short"}, "md5"),
        ({"part_ids": None}, "part_ids"),
        ({"part_ids": ["part_x"]}, "part_ids[0]"),
        ({"parts": []}, "parts"),
    ],
)
def test_a_wrong_completion_names_the_field(api: Gateway, body: dict[str, object], param: str) -> None:
    begun = {"bytes": 9, "filename": "a.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}
    upload = api.post("/v1/uploads", begun).json()
    refused = api.post(f"/v1/uploads/{upload['id']}/complete", {"part_ids": []} | body)
    assert (refused.status, refused.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(("field", "param"), [("file", "file"), (None, "data")])
def test_a_part_that_is_sent_under_another_name_is_refused(api: Gateway, field: str | None, param: str) -> None:
    upload = api.post(
        "/v1/uploads", {"bytes": 9, "filename": "a.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}
    ).json()
    files = {field: ("x", b"x")} if field else None
    sent = httpx2.Request("POST", "http://test/", data={} if field else {"data": "text"}, files=files or {"z": b""})
    refused = api.send(
        "POST", f"/v1/uploads/{upload['id']}/parts", sent.read(), headers={"Content-Type": sent.headers["content-type"]}
    )
    assert refused.status == 400
    assert refused.json()["error"]["param"] in (param, "z")


def test_files_expire_as_they_were_told_to(client: openai.OpenAI) -> None:
    after: openai.types.file_create_params.ExpiresAfter = {"anchor": "created_at", "seconds": 3600}
    file = client.files.create(file=("a.jsonl", CONTENT), purpose="fine-tune", expires_after=after)
    assert file.expires_at == file.created_at + 3600
    upload = client.uploads.create(
        bytes=len(CONTENT), filename="b.jsonl", mime_type="text/jsonl", purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 2_592_000},
    )  # fmt: skip
    part = client.uploads.parts.create(upload.id, data=CONTENT)
    done = client.uploads.complete(upload.id, part_ids=[part.id])
    assert done.file
    assert done.file.expires_at == done.file.created_at + 2_592_000
    assert client.files.create(file=("c.jsonl", b"{}\n"), purpose="batch").expires_at is None
    assert file.created_at <= clock.now().timestamp()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "2592001"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "1e9"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "²3600"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "created_at"}, "expires_after[seconds]"),
        ({"expires_after[seconds]": "3600"}, "expires_after[anchor]"),
        ({"expires_after[anchor]": "last_used", "expires_after[seconds]": "3600"}, "expires_after[anchor]"),
    ],
)
def test_a_wrong_time_to_live_of_a_file_is_named(api: Gateway, fields: dict[str, str], param: str) -> None:
    body, content_type = form(CONTENT, **fields)
    refused = api.send("POST", "/v1/files", body, headers={"Content-Type": content_type})
    assert (refused.status, refused.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("after", "param"),
    [
        ({"anchor": "created_at", "seconds": 3599}, "expires_after.seconds"),
        ({"anchor": "created_at", "seconds": "3600"}, "expires_after.seconds"),
        ({"anchor": "now", "seconds": 3600}, "expires_after.anchor"),
        ({"seconds": 3600}, "expires_after.anchor"),
    ],
)
def test_a_wrong_time_to_live_of_an_upload_is_named(api: Gateway, after: dict[str, object], param: str) -> None:
    body = {"bytes": 9, "filename": "a.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}
    refused = api.post("/v1/uploads", body | {"expires_after": after})
    assert (refused.status, refused.json()["error"]["param"]) == (400, param)
