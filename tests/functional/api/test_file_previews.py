"""Previewing files: the same call until the rows are there, after an upload by the published openai client."""

import json
from datetime import timedelta
from typing import Any

import pytest

from luthier import clock, wiring
from luthier.errors import NotFound
from luthier.processing.entity import Processing
from tests.factories import BASE_MODEL, MODEL_URI, principal, rows
from tests.functional.api.test_file_repairs import code
from tests.functional.api.test_files import form, upload
from tests.functional.api.test_openai_client import client_of
from tests.functional.processing import world
from tests.gateway import Answer, Gateway
from tests.previewed import PREVIEW

A = principal("org_a")
LEFT: dict[str, Any] = {"preview.json": PREVIEW}


@pytest.fixture
def file(api: Gateway) -> str:
    return client_of(api).files.create(file=("train.jsonl", rows(3)), purpose="fine-tune").id


def preview(api: Gateway, file: str, query: str = "") -> Answer:
    return api.get(f"/v1/files/{file}/preview?model={BASE_MODEL}{query}")


def made(api: Gateway, answer: Answer) -> Processing:
    return api.platform.processings.get("org_a", answer.json()["processing_id"])


def arguments(api: Gateway, answer: Answer) -> list[str]:
    return world.plan(api.platform, made(api, answer))["arguments"][2:]


def artifacts(api: Gateway) -> list[str]:
    return [entry["Key"] for entry in api.platform.s3.list_objects_v2(Bucket="luthier-artifacts").get("Contents", [])]


def test_the_first_call_begins_a_job_and_the_same_call_has_its_rows(api: Gateway, file: str) -> None:
    began = preview(api, file, "&limit=2")
    assert (began.status, began.headers["retry-after"]) == (202, "15")
    body = began.json()
    assert (body["id"], body["object"], body["status"], body["data"], body["tokens"]) == (
        file,
        "file.preview",
        "preparing",
        [],
        None,
    )
    again = preview(api, file, "&limit=2")
    assert (again.status, again.json()["processing_id"]) == (202, body["processing_id"])
    world.finish(api.platform, made(api, began), LEFT)
    ready = preview(api, file, "&limit=2")
    assert ready.status == 200
    assert "retry-after" not in ready.headers
    body = ready.json()
    assert (body["status"], body["model"], body["method"], body["filename"]) == (
        "ready",
        BASE_MODEL,
        "sft",
        "train.jsonl",
    )
    assert (body["tokens"], body["trained_tokens"], body["truncated_rows"]) == (9, 5, 1)
    assert body["data"] == json.loads(json.dumps(PREVIEW["rows"][:2]))


def test_more_rows_of_the_same_preview_start_no_other_job(api: Gateway, file: str) -> None:
    world.finish(api.platform, made(api, preview(api, file)), LEFT)
    started = len(api.platform.states.started)
    assert [len(preview(api, file, f"&limit={count}").json()["data"]) for count in (1, 2, 20)] == [1, 2, 3]
    assert len(api.platform.states.started) == started


def test_the_job_reads_the_file_and_the_base_model_on_the_cheapest_machine(api: Gateway, file: str) -> None:
    asked = world.plan(api.platform, made(api, preview(api, file)))
    assert asked["entrypoint"] == ["python", "-m", "trainer.show"]
    assert asked["arguments"][2:] == ["--method", "sft", "--max-sequence-length", "2048", "--rows", "20"]
    assert asked["instance_type"] == "ml.m5.xlarge"
    places = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in asked["channels"]}
    assert places == {"train": f"s3://luthier-data/org_a/files/{file}/", "base": MODEL_URI}


def test_a_row_and_a_length_are_previews_of_their_own(api: Gateway, file: str) -> None:
    answers = [preview(api, file, query) for query in ("", "&row=2", "&max_sequence_length=64", "&row=3")]
    assert len({answer.json()["processing_id"] for answer in answers}) == 4
    assert arguments(api, answers[1])[-2:] == ["--line", "2"]
    assert arguments(api, answers[2])[2:4] == ["--max-sequence-length", "64"]
    assert answers[2].json()["max_sequence_length"] == 64


@pytest.mark.parametrize(
    ("line", "method"),
    [
        (b'{"prompt": "2+2?", "chosen": "4", "rejected": "5"}\n', "dpo"),
        (b'{"prompt": "2+2?", "completion": "4", "label": true}\n', "kto"),
        (b'{"text": "Once"}\n', "sft"),
    ],
)
def test_rows_are_rendered_for_a_method_that_learns_from_them(api: Gateway, line: bytes, method: str) -> None:
    file = upload(api, line).json()["id"]
    assert arguments(api, preview(api, file))[:2] == ["--method", method]


def test_a_model_of_our_own_stands_for_its_base(api: Gateway, file: str) -> None:
    model = world.model(api.platform, A)
    own = api.get(f"/v1/files/{file}/preview?model={model.name}")
    assert own.json()["model"] == BASE_MODEL
    assert own.json()["processing_id"] == preview(api, file).json()["processing_id"]


def test_good_rows_of_a_bad_file_are_previewed(api: Gateway) -> None:
    file = upload(api, rows(1) + b"nonsense\n\n").json()
    assert file["status"] == "error"
    assert preview(api, file["id"], "&row=3").status == 202


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("&row=4", "row"),
        ("&row=0", "row"),
        ("&row=x", "row"),
        ("&limit=0", "limit"),
        ("&limit=21", "limit"),
        ("&max_sequence_length=7", "max_sequence_length"),
        ("&max_sequence_length=8193", "max_sequence_length"),
        ("&rows=2", "rows"),
    ],
)
def test_a_wrong_parameter_is_named_and_starts_nothing(api: Gateway, file: str, query: str, param: str) -> None:
    refused = preview(api, file, query)
    assert (refused.status, refused.json()["error"]["param"]) == (400, param)
    assert api.platform.states.started == []


def test_a_preview_needs_the_name_of_a_model(api: Gateway, file: str) -> None:
    refused = api.get(f"/v1/files/{file}/preview")
    assert (refused.status, refused.json()["error"]["param"]) == (400, "model")
    unknown = api.get(f"/v1/files/{file}/preview?model=no-such-model")
    assert code(unknown) == (404, "model_not_found")


def test_files_that_have_no_rows_to_preview_are_refused(api: Gateway, file: str) -> None:
    assert code(preview(api, f"file-{'0' * 26}")) == (404, "file_not_found")
    assert code(preview(api.caller("admin", organization_id="org_b"), file)) == (404, "file_not_found")
    bad = upload(api, b"nonsense\n").json()["id"]
    assert code(preview(api, bad)) == (400, "invalid_dataset")
    body, content_type = form(b"{}\n", purpose="batch")
    batch = api.send("POST", "/v1/files", body, headers={"Content-Type": content_type}).json()["id"]
    assert code(preview(api, batch)) == (400, "invalid_dataset")
    awaited = api.post("/v1/files/presigned", {"filename": "a.jsonl", "bytes": 9, "purpose": "fine-tune"}).json()
    assert code(preview(api, awaited["file"]["id"])) == (409, "content_missing")
    assert api.platform.states.started == []


def test_a_key_that_only_reads_starts_no_preview(api: Gateway, file: str) -> None:
    assert code(preview(api.caller("files:read"), file)) == (403, "scope_required")


def test_what_failed_is_said_once_and_then_tried_again(api: Gateway, file: str) -> None:
    began = preview(api, file)
    reason = json.dumps({"code": "internal", "message": "It broke.", "hint": "Ask again."})
    world.fail(api.platform, made(api, began), f"AlgorithmError: {reason}, exit code: 2")
    refused = preview(api, file)
    assert code(refused) == (422, "preview_failed")
    assert "It broke. Ask again." in refused.json()["error"]["message"]
    assert preview(api, file).status == 202
    assert made(api, began).attempt == 2


def test_a_broken_base_model_is_said_every_time(api: Gateway, file: str) -> None:
    reason = json.dumps({"code": "bad_base_model", "message": "No tokenizer.", "hint": "Stage it again."})
    world.fail(api.platform, made(api, preview(api, file)), f"AlgorithmError: {reason}, exit code: 2")
    assert [preview(api, file).status for _ in range(2)] == [422, 422]


def test_a_job_that_left_nothing_has_failed(api: Gateway, file: str) -> None:
    done = world.finish(api.platform, made(api, preview(api, file)), {"other.json": {}})
    assert (done.status, (done.status_reason or {})["code"]) == ("failed", "artifact_missing")


def test_the_event_of_a_preview_names_base_model_and_file(api: Gateway, file: str) -> None:
    done = world.finish(api.platform, made(api, preview(api, file)), LEFT)
    assert (done.model_id, done.about) == (BASE_MODEL, "train.jsonl")


def test_a_deleted_file_takes_its_previews_along(api: Gateway, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    done = world.finish(api.platform, made(api, preview(api, file)), LEFT)
    running = made(api, preview(api, file, "&row=1"))
    world.launch(api.platform, running)
    api.delete(f"/v1/files/{file}")
    assert code(preview(api, file)) == (404, "file_not_found")
    sweep(api, monkeypatch, minutes=2)
    # While one is in the making all are left, and looked at later.
    assert len(artifacts(api)) == 1
    api.platform.processing_pipeline.settle("org_a", running.id, 1, None)
    sweep(api, monkeypatch, minutes=15)
    assert artifacts(api) == []
    for gone in (done, running):
        assert api.platform.processings.find("org_a", gone.id) is None
    assert list(wiring.file_sweeper()._files.due("9999")) == []


def sweep(api: Gateway, monkeypatch: pytest.MonkeyPatch, *, minutes: int) -> None:
    """Let the sweeper run so many minutes from now."""
    sweeper = wiring.file_sweeper()
    monkeypatch.setattr(sweeper, "_now", lambda: clock.now() + timedelta(minutes=minutes))
    assert sweeper.sweep() == {"checked": [], "deleted": [], "kept": []}


def test_no_preview_is_made_of_a_file_that_was_deleted_meanwhile(api: Gateway, file: str) -> None:
    began = made(api, preview(api, file))
    api.delete(f"/v1/files/{file}")
    with pytest.raises(NotFound):
        world.plan(api.platform, began)
