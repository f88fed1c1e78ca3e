"""The files of the openai surface, through the bytes that real clients send."""

import json
from typing import Any

import httpx
import pytest

from luthier.datasets import service
from tests.factories import rows
from tests.gateway import Answer, Gateway


def form(content: bytes, *, name: str = "train.jsonl", **fields: Any) -> tuple[bytes, str]:
    """A multipart body and its content type, as httpx (and so the openai client) writes them."""
    sent = httpx.Request(
        "POST", "http://test/", data={"purpose": "fine-tune"} | fields, files={"file": (name, content)}
    )
    return sent.read(), sent.headers["content-type"]


def upload(api: Gateway, content: bytes, headers: dict[str, str] | None = None, **options: Any) -> Answer:
    body, content_type = form(content, **options)
    return api.send("POST", "/v1/files", body, headers={"Content-Type": content_type} | (headers or {}))


def test_an_upload_answers_openais_file_object(api: Gateway) -> None:
    content = rows(3)
    file = upload(api, content, name="träining.jsonl").json()
    assert file["id"].startswith("file-")
    assert {**file, "id": 0, "created_at": 0, "sha256": 0, "tokens": 0} == {
        "id": 0, "object": "file", "bytes": len(content), "created_at": 0, "filename": "träining.jsonl",
        "purpose": "fine-tune", "status": "processed", "status_details": None, "expires_at": None,
        "format": "messages", "rows": 3, "tokens": 0, "bad_lines": 0, "findings_count": 0, "warnings_count": 0,
        "sha256": 0, "repair": None,
    }  # fmt: skip
    assert isinstance(file["created_at"], int)
    assert api.get(f"/v1/files/{file['id']}").json() == file


def test_a_gateway_that_passes_the_form_as_text_changes_nothing(api: Gateway) -> None:
    body, content_type = form(rows(1))
    answer = api.send("POST", "/v1/files", body.decode(), headers={"Content-Type": content_type})
    assert answer.json()["rows"] == 1


def test_what_was_uploaded_comes_back_byte_for_byte(api: Gateway) -> None:
    content = rows(2).replace(b"question", "Ünïcode 文".encode())
    file = upload(api, content).json()
    answer = api.get(f"/v1/files/{file['id']}/content")
    assert (answer.headers["content-type"], answer.text.encode()) == ("application/jsonl", content)


def test_a_file_with_bad_lines_is_kept_with_a_report_of_every_line(api: Gateway) -> None:
    content = rows(1) + b"nonsense\n" + b'{"messages": []}\n' * 60
    file = upload(api, content).json()
    assert (file["status"], file["bad_lines"]) == ("error", 61)
    report = api.get(f"/v1/files/{file['id']}/report").json()
    assert [finding["line"] for finding in report["findings"]] == list(range(2, 63))
    assert set(report["findings"][0]) == {"line", "level", "code", "pointer", "message", "fix"}
    assert "s3_key" not in report


def test_every_field_that_openai_documents_is_taken(api: Gateway) -> None:
    answer = upload(api, rows(1), **{"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"})
    assert answer.status == 200


@pytest.mark.parametrize(
    ("change", "param"),
    [({"purpose": "assistants"}, "purpose"), ({"porpose": "x"}, "porpose")],
)
def test_a_wrong_part_of_the_form_is_named(api: Gateway, change: dict[str, str], param: str) -> None:
    refused = upload(api, rows(1), **change)
    assert (refused.status, refused.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(("missing", "kept"), [("file", {"data": {"purpose": "fine-tune"}}), ("purpose", {})])
def test_a_missing_part_of_the_form_is_named(api: Gateway, missing: str, kept: dict[str, Any]) -> None:
    files = {"x": b""} if missing == "file" else {"file": ("a.jsonl", rows(1))}
    sent = httpx.Request("POST", "http://test/", files=files, **kept)
    content_type = sent.headers["content-type"]
    refused = api.send("POST", "/v1/files", sent.read(), headers={"Content-Type": content_type})
    assert refused.status == 400
    assert refused.json()["error"]["param"] in (missing, "x")


@pytest.mark.parametrize("cut", [3, 40, 200])
def test_a_form_that_was_cut_off_is_refused_and_leaves_nothing(api: Gateway, cut: int) -> None:
    body, content_type = form(rows(3))
    refused = api.send("POST", "/v1/files", body[:-cut], headers={"Content-Type": content_type})
    assert (refused.status, refused.json()["error"]["code"]) == (400, "invalid_multipart")
    assert api.get("/v1/files").json()["data"] == []


def test_json_instead_of_a_form_is_told_how_to_upload(api: Gateway) -> None:
    refused = api.post("/v1/files", {"purpose": "fine-tune"})
    assert (refused.status, refused.json()["error"]["code"]) == (400, "invalid_multipart")
    assert "curl -F" in refused.json()["error"]["message"]


def test_a_large_file_goes_straight_to_storage(api: Gateway) -> None:
    content = rows(5)
    begun = api.post("/v1/files/presigned", {"filename": "big.jsonl", "bytes": len(content), "purpose": "fine-tune"})
    file, put = begun.json()["file"], begun.json()["upload"]
    assert (file["status"], put["method"]) == ("uploaded", "PUT")
    assert api.post(f"/v1/files/{file['id']}/complete").status == 409
    key = f"org_a/files/{file['id']}/big.jsonl"
    assert key in put["url"]
    api.platform.s3.put_object(Bucket="luthier-data", Key=key, Body=content)
    done = api.post(f"/v1/files/{file['id']}/complete").json()
    assert (done["status"], done["rows"]) == ("processed", 5)


def test_a_file_too_large_for_an_answer_is_downloaded_from_storage(
    api: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = upload(api, rows(3)).json()
    monkeypatch.setattr(service, "DIRECT_BYTES", 10)
    answer = api.get(f"/v1/files/{file['id']}/content")
    assert (answer.status, answer.text) == (302, "")
    assert file["id"] in answer.headers["location"]


def test_lists_page_by_cursor(api: Gateway) -> None:
    ids = [upload(api, rows(1)).json()["id"] for _ in range(3)]
    first = api.get("/v1/files?limit=2").json()
    assert ([f["id"] for f in first["data"]], first["has_more"]) == (ids[:0:-1], True)
    assert (first["first_id"], first["last_id"]) == (ids[2], ids[1])
    rest = api.get(f"/v1/files?limit=2&after={first['last_id']}").json()
    assert ([f["id"] for f in rest["data"]], rest["has_more"]) == (ids[:1], False)
    assert [f["id"] for f in api.get("/v1/files?order=asc&purpose=fine-tune").json()["data"]] == ids


def test_a_deleted_file_is_gone_and_says_so(api: Gateway) -> None:
    file = upload(api, rows(1)).json()
    deleted = api.delete(f"/v1/files/{file['id']}").json()
    assert deleted == {"id": file["id"], "object": "file", "deleted": True}
    refused = api.get(f"/v1/files/{file['id']}")
    assert (refused.status, refused.json()["error"]["code"]) == (404, "file_not_found")


def test_another_organization_has_no_such_file(api: Gateway) -> None:
    file = upload(api, rows(1)).json()
    other = api.caller("admin", organization_id="org_b")
    for path in ("", "/content", "/report", "/preview?model=smollm2-135m-instruct"):
        assert other.get(f"/v1/files/{file['id']}{path}").status == 404
    assert other.post(f"/v1/files/{file['id']}/repair").status == 404
    assert other.delete(f"/v1/files/{file['id']}").status == 404
    assert json.loads(other.get("/v1/files").text)["data"] == []


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ({"Idempotency-Key": "k"}, {"Idempotency-Key": "k"}),
        ({"x-stainless-retry-count": "0"}, {"x-stainless-retry-count": "1"}),
    ],
    ids=["key", "retry"],
)
def test_an_upload_that_is_sent_again_makes_one_file(
    api: Gateway, first: dict[str, str], again: dict[str, str]
) -> None:
    made = [upload(api, rows(2), headers).json()["id"] for headers in (first, again)]
    assert made == [made[0]] * 2
    assert len(api.get("/v1/files").json()["data"]) == 1


def test_a_key_that_was_used_for_another_file_is_refused(api: Gateway) -> None:
    headers = {"Idempotency-Key": "k"}
    upload(api, rows(2), headers)
    other = upload(api, rows(3), headers)
    assert (other.status, other.json()["error"]["code"]) == (422, "idempotency_key_reused")


def test_an_announced_upload_that_is_sent_again_keeps_its_id(api: Gateway) -> None:
    body, headers = {"filename": "a.jsonl", "bytes": 9, "purpose": "fine-tune"}, {"Idempotency-Key": "k"}
    first, second = (api.post("/v1/files/presigned", body, headers=headers).json() for _ in range(2))
    assert first["file"] == second["file"]
    assert second["upload"]["url"].startswith("https://")


@pytest.mark.parametrize("path", ["/v1/files", "/v1/webhook_endpoints", "/v1/organization/api_keys"])
def test_a_page_starts_after_no_id_that_is_too_long_to_be_one(api: Gateway, path: str) -> None:
    refused = api.get(f"{path}?after={'x' * 241}")
    assert (refused.status, refused.json()["error"]["param"]) == (400, "after")
