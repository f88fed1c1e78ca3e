"""Repairing files, through the published openai client where it has a method and raw requests where it has none."""

import itertools
import json
from datetime import timedelta
from typing import Any

import openai
import pytest

from luthier import wiring
from luthier.datasets import repairs
from tests.factories import principal, rows
from tests.functional.api.test_files import form, upload
from tests.functional.api.test_openai_client import client_of
from tests.functional.uploads.world import Meddled
from tests.gateway import Answer, Gateway

ALIEN = b'{"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}\n'
NONSENSE = b"nonsense\n"


@pytest.fixture
def client(api: Gateway) -> openai.OpenAI:
    return client_of(api)


def repair(api: Gateway, file_id: str, **headers: str) -> Answer:
    return api.post(f"/v1/files/{file_id}/repair", headers=headers)


def code(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["error"]["code"]


def objects(api: Gateway) -> list[str]:
    return [entry["Key"] for entry in api.platform.s3.list_objects_v2(Bucket="luthier-data").get("Contents", [])]


def test_a_bad_file_becomes_a_new_one_that_can_be_trained_on(api: Gateway, client: openai.OpenAI) -> None:
    content = rows(3) + ALIEN + NONSENSE + b"\n" + rows(1)
    bad = client.files.create(file=("train.jsonl", content), purpose="fine-tune")
    assert bad.status == "error"
    answer = repair(api, bad.id)
    assert answer.status == 200
    made = answer.json()
    assert made["repair"] == {
        "source": bad.id, "rows_kept": 4, "rows_changed": 1, "rows_dropped": 2,
        "corrections": {"conversations": 1, "role": 1},
        "dropped": {"invalid_json": 1, "blank_line": 1, "duplicate_row": 1},
    }  # fmt: skip
    assert (made["filename"], made["status"], made["rows"], made["bad_lines"]) == (
        "train.repaired.jsonl",
        "processed",
        4,
        0,
    )
    read = client.files.content(made["id"]).read()
    assert read.startswith(rows(3))
    assert [message["role"] for message in json.loads(read.splitlines()[3])["messages"]] == ["user", "assistant"]
    assert (len(read), client.files.retrieve(made["id"]).status) == (made["bytes"], "processed")
    # The original is what it was.
    assert client.files.retrieve(bad.id) == bad
    assert client.files.content(bad.id).read() == content
    assert api.get(f"/v1/files/{made['id']}/report").json()["findings"] == []


def test_a_good_file_is_copied_byte_for_byte(api: Gateway) -> None:
    good = upload(api, rows(3)).json()
    made = repair(api, good["id"]).json()
    assert made["sha256"] == good["sha256"]
    assert (made["repair"]["rows_kept"], made["repair"]["rows_changed"], made["repair"]["rows_dropped"]) == (3, 0, 0)


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}),
        ({"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"}),
    ],
    ids=["key", "retry"],
)
def test_a_repair_that_is_sent_again_makes_one_file(api: Gateway, first: dict[str, str], again: dict[str, str]) -> None:
    bad = upload(api, rows(2) + NONSENSE).json()
    made = [repair(api, bad["id"], **headers).json() for headers in (first, again)]
    assert made[0] == made[1]
    assert len(api.get("/v1/files").json()["data"]) == 2
    assert len(objects(api)) == 2


def test_a_key_that_repaired_another_file_is_refused(api: Gateway) -> None:
    one, other = (upload(api, rows(count) + NONSENSE).json()["id"] for count in (1, 2))
    headers = {"Idempotency-Key": "k"}
    assert repair(api, one, **headers).status == 200
    assert code(repair(api, other, **headers)) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("content", [NONSENSE * 3, b"\n\n"], ids=["bad", "blank"])
def test_a_file_of_which_nothing_would_be_left_is_refused_and_none_is_made(api: Gateway, content: bytes) -> None:
    bad = upload(api, content).json()
    before = objects(api)
    refused = repair(api, bad["id"], **{"Idempotency-Key": "k"})
    assert code(refused) == (422, "nothing_left")
    assert "/report" in refused.json()["error"]["message"]
    assert len(api.get("/v1/files").json()["data"]) == 1
    assert objects(api) == before
    assert api.platform.s3.list_multipart_uploads(Bucket="luthier-data").get("Uploads", []) == []


def test_an_unknown_file_is_not_repaired(api: Gateway) -> None:
    for reference in (f"file-{'0' * 26}", "train.jsonl"):
        assert code(repair(api, reference)) == (404, "file_not_found")


def test_a_deleted_file_is_not_repaired(api: Gateway) -> None:
    file = upload(api, rows(1)).json()["id"]
    api.delete(f"/v1/files/{file}")
    assert code(repair(api, file)) == (404, "file_not_found")


def test_a_file_of_a_batch_is_not_repaired(api: Gateway) -> None:
    body, content_type = form(b"{}\n", purpose="batch")
    file = api.send("POST", "/v1/files", body, headers={"Content-Type": content_type}).json()["id"]
    assert code(repair(api, file)) == (400, "invalid_dataset")


def test_a_file_whose_content_is_awaited_is_not_repaired(api: Gateway) -> None:
    begun = api.post("/v1/files/presigned", {"filename": "a.jsonl", "bytes": 9, "purpose": "fine-tune"}).json()
    assert code(repair(api, begun["file"]["id"])) == (409, "content_missing")


def test_a_file_too_large_for_one_request_is_refused_with_what_to_do(
    api: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload(api, rows(2)).json()["id"]
    monkeypatch.setattr(repairs, "AT_ONCE_BYTES", 10)
    refused = repair(api, file)
    assert code(refused) == (413, "file_too_large")
    assert "trainer.validate --repair" in refused.json()["error"]["message"]


def test_a_repair_that_takes_too_long_ends_in_time_and_leaves_nothing(
    api: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload(api, rows(2)).json()["id"]
    begun, minutes = api.platform.clock(), itertools.count()
    monkeypatch.setattr(wiring.repairs(), "_now", lambda: begun + timedelta(minutes=next(minutes)))
    assert code(repair(api, file)) == (413, "file_too_large")
    assert len(objects(api)) == 1
    assert len(api.get("/v1/files").json()["data"]) == 1


def test_a_key_without_write_access_repairs_nothing(api: Gateway) -> None:
    file = upload(api, rows(1)).json()["id"]
    assert code(repair(api.caller("files:read"), file)) == (403, "scope_required")


def test_a_repaired_file_goes_when_its_original_would(api: Gateway) -> None:
    seconds = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = upload(api, rows(1) + NONSENSE, **seconds).json()
    assert repair(api, file["id"]).json()["expires_at"] == file["expires_at"]


def test_a_name_of_full_length_stays_within_it(api: Gateway) -> None:
    file = upload(api, rows(1), name=f"{'ä' * 124}.jsonl").json()
    made = repair(api, file["id"]).json()
    assert made["filename"].endswith("ä.repaired.jsonl")
    assert len(made["filename"].encode()) <= 255


class Dying:
    """A client whose next call of one name fails."""

    def __init__(self, client: Any, name: str) -> None:
        self._client, self._name = client, name

    def __getattr__(self, name: str) -> Any:
        if name == self._name:
            raise ConnectionError("the line is cut")
        return getattr(self._client, name)


@pytest.mark.parametrize("call", ["upload_part", "complete_multipart_upload"])
def test_storage_that_fails_midway_leaves_no_file_and_the_key_makes_one_later(
    api: Gateway, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    file, headers = upload(api, rows(1) + NONSENSE).json()["id"], {"Idempotency-Key": "k"}
    content = wiring.repairs()._content
    with monkeypatch.context() as failing:
        failing.setattr(content, "_s3", Dying(content._s3, call))
        assert repair(api, file, **headers).status == 500
    assert len(objects(api)) == len(api.get("/v1/files").json()["data"]) == 1
    assert repair(api, file, **headers).json()["rows"] == 1


def test_a_file_that_is_deleted_before_it_is_read_is_not_found(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    file = upload(api, rows(1)).json()["id"]
    content = wiring.repairs()._content
    deleted = Meddled(content._s3, "get_object", lambda: wiring.datasets().delete(principal(), file))
    monkeypatch.setattr(content, "_s3", deleted)
    assert code(repair(api, file)) == (404, "file_not_found")
    assert objects(api) == []
