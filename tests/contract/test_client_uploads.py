"""Uploads of the Python client: the way that fits the size, whatever the network loses."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from luthier.client import InvalidRequest, WorkFailed, uploading
from tests.clients import Network, no_pauses
from tests.factories import rows
from tests.gateway import Gateway


@pytest.fixture
def network(api: Gateway) -> Network:
    return Network(api)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that a test can reach."""
    monkeypatch.setattr(uploading, "ONE_REQUEST", 1_000)
    monkeypatch.setattr(uploading, "PART", 700)
    monkeypatch.setattr(uploading, "IN_PARTS", 5_000)


FORM, UPLOAD = "POST /v1/files", "POST /v1/uploads"


@pytest.mark.usefixtures("small")
def test_a_file_goes_the_way_that_fits_its_size(network: Network, tmp_path: Path) -> None:
    sizes = {5: 1, 20: 2, 60: 3}
    for count in sizes:
        content = rows(count)
        path = tmp_path / f"train{count}.jsonl"
        path.write_bytes(content)
        network.requests.clear()
        file = network.client().files.upload(path)
        assert (file.status, file.rows, file.filename) == ("processed", count, path.name)
        first = network.sent[0]
        if len(content) <= 1_000:
            assert network.sent == [FORM]
        elif len(content) <= 5_000:
            assert first == UPLOAD
            assert len(network.sent) == 2 + -(-len(content) // 700)
        else:
            assert first == "POST /v1/files/presigned"
            put = network.requests[1]
            assert (put.method, put.headers["content-length"]) == ("PUT", str(len(content)))
            assert "authorization" not in put.headers
        assert network.client().files.content(file.id) == content


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("count", [5, 20, 60])
def test_an_upload_survives_lost_answers_at_every_step(
    network: Network, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    no_pauses(monkeypatch)
    content = rows(count)
    steps = {5: 1, 20: 2 + -(-len(rows(20)) // 700), 60: 3}[count]
    network.faults = ["lost", ""] * steps

    async def upload() -> Any:
        return await network.async_client().files.upload(content, filename="train.jsonl")

    assert asyncio.run(upload()).status == "processed"
    assert [file.rows for file in network.client().files.list()] == [count]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("count", [5, 20, 60])
def test_an_upload_that_is_repeated_with_its_key_is_the_same_file(network: Network, count: int) -> None:
    files = [
        network.client().files.upload(rows(count), filename="a.jsonl", idempotency_key="k", purpose="evals")
        for _ in range(2)
    ]
    assert files[0] == files[1]
    assert len(list(network.client().files.list())) == 1


@pytest.mark.usefixtures("small")
def test_what_is_too_large_to_expire_is_refused_before_it_is_sent(network: Network) -> None:
    with pytest.raises(InvalidRequest) as refused:
        network.client().files.upload(rows(60), expires_after=3600)
    assert (refused.value.field, network.requests) == ("expires_after", [])


def test_a_file_with_bad_lines_says_so_when_it_is_waited_for(network: Network) -> None:
    file = network.client().files.upload(b'{"no": "row"}\n', filename="bad.jsonl", expires_after=3600)
    assert (file.status, file.expires_at) == ("error", file.created_at + 3600)
    with pytest.raises(WorkFailed) as failed:
        file.wait()
    assert failed.value.resource.id == file.id
    assert network.client().files.report(file.id).findings[0].line == 1
