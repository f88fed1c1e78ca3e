"""Downloading models, as the API answers it."""

import hashlib
import json
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from luthier.errors import NotFound
from luthier.models.entity import Model, id_of_job
from luthier.models.formats import FILES
from luthier.processing.entity import Processing
from tests.factories import MODEL_URI, Platform, principal
from tests.functional.models.world import fresh
from tests.functional.processing import world
from tests.gateway import Answer, Gateway, api

__all__ = ["api"]

A = principal("org_a")
OWN_WEIGHTS: dict[str, Any] = {
    "serving": {"kind": "model", "path": "."},
    "files": [{"path": "model.safetensors", "size": 9, "sha256": "0" * 64}],
}


def download(api: Gateway, model: Model, **body: Any) -> Answer:
    return api.post(f"/v2/training/models/{model.id}/download", body)


def processing(api: Gateway, answer: Answer) -> Processing:
    return api.platform.processings.get("org_a", answer.json()["processingId"])


def report(form: str, compression: str, *names: str) -> dict[str, Any]:
    """What the trainer leaves: what it has packed, and the report beside it."""
    archive = f"model.{compression}" if compression != "none" else None
    left = {archive: "a" * 70} if archive else {name: name.ljust(100) for name in names}
    facts = {"format": form, "compression": compression, "proof": {form: {"kind": "probe"}}, "seconds": 2.0}
    facts |= {"files": [row(name, name.ljust(100)) for name in names]}
    return left | {"package.json": facts | {"archive": row(archive, left[archive]) if archive else None}}


def row(name: str, content: str) -> dict[str, Any]:
    return {"name": name, "size": len(content), "sha256": hashlib.sha256(content.encode()).hexdigest()}


def packed(api: Gateway, model: Model, form: str, compression: str) -> Processing:
    """The processing that has made a format of a model."""
    made = processing(api, download(api, model, format=form, compression=compression))
    return world.finish(api.platform, made, report(form, compression, *FILES[form]))


def test_the_files_of_an_adapter_answer_at_once_each_with_its_link_and_checksum(api: Gateway) -> None:
    model = world.model(api.platform, A)
    answer = download(api, model)
    assert answer.status == 200
    body = answer.json()
    assert (body["status"], body["format"], body["compression"]) == ("ready", "adapter", "none")
    assert [file["name"] for file in body["files"]] == ["adapter_config.json", "adapter_model.safetensors"]
    assert body["size"] == 3_000_700
    for file in body["files"]:
        place = urlsplit(file["url"])
        assert place.path.endswith(f"org_a/jobs/{model.job_id}/m/{file['name']}")
        assert file["checksum"] == f"sha256:{'0' * 64}"
    assert api.platform.processings.of_subject("org_a", "package", model.id) == []


def test_an_archive_is_made_by_a_job_and_the_same_call_says_how_far_it_is(api: Gateway) -> None:
    model = world.model(api.platform, A)
    wish = {"format": "pytorch", "compression": "zip"}
    began = download(api, model, **wish)
    assert began.status == 202
    assert int(began.headers["retry-after"]) > 0
    body = began.json()
    assert (body["status"], body["downloadUrl"], body["downloadToken"], body["files"]) == ("preparing", None, None, [])
    again = download(api, model, **wish)
    assert (again.status, again.json()["processingId"]) == (202, body["processingId"])
    world.finish(api.platform, processing(api, began), report("pytorch", "zip", *FILES["pytorch"]))
    ready = download(api, model, **wish)
    assert ready.status == 200
    body = ready.json()
    assert (body["status"], body["size"], body["checksum"]) == ("ready", 70, f"sha256:{row('', 'a' * 70)['sha256']}")
    assert [file["name"] for file in body["files"]] == list(FILES["pytorch"])
    assert all(file["url"] is None for file in body["files"])
    named = parse_qs(urlsplit(body["downloadUrl"]).query)["response-content-disposition"][0]
    assert named == f'attachment; filename="{model.id}-v1.0.0-pytorch.zip"'


def test_the_job_gets_the_format_the_compression_and_the_files(api: Gateway) -> None:
    model = world.model(api.platform, A)
    wish = {"format": "pytorch", "compression": "tar.gz", "files": ["tokenizer.json", "config.json"]}
    asked = world.plan(api.platform, processing(api, download(api, model, **wish)))
    assert asked["entrypoint"] == ["python", "-m", "trainer.package"]
    assert asked["arguments"][2:] == [
        *("--format", "pytorch", "--compression", "tar.gz"), "--file", "config.json", "--file", "tokenizer.json",
    ]  # fmt: skip
    places = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in asked["channels"]}
    assert places == {"model": f"{model.artifact_uri}/", "base": MODEL_URI}


def test_packing_an_adapter_fetches_no_base_model(api: Gateway) -> None:
    made = processing(api, download(api, world.model(api.platform, A), compression="zip"))
    asked = world.plan(api.platform, made)
    assert [channel["ChannelName"] for channel in asked["channels"]] == ["model"]


def test_an_engine_is_built_where_there_is_a_gpu(api: Gateway) -> None:
    asked = world.plan(api.platform, processing(api, download(api, world.model(api.platform, A), format="tensorrt")))
    assert asked["instance_type"].startswith(("ml.g", "ml.p"))


def test_the_order_of_files_makes_no_other_archive(api: Gateway) -> None:
    model = world.model(api.platform, A)
    names = ["config.json", "pytorch_model.bin"]
    wishes = [{"format": "pytorch", "compression": "zip", "files": files} for files in (names, names[::-1], names * 2)]
    assert len({download(api, model, **wish).json()["processingId"] for wish in wishes}) == 1


def test_files_of_a_format_that_was_made_before_answer_at_once(api: Gateway) -> None:
    model = world.model(api.platform, A)
    packed(api, model, "huggingface", "none")
    made = fresh(api.platform, model).formats["huggingface"]
    assert made["proof"] == {"huggingface": {"kind": "probe"}}
    some = download(api, model, format="huggingface", files=["config.json"])
    assert some.status == 200
    [file] = some.json()["files"]
    assert urlsplit(file["url"]).path.endswith(made["uri"].removeprefix("s3://luthier-artifacts") + "/config.json")


def test_the_newest_archive_is_the_models_compressed_size(api: Gateway) -> None:
    model = world.model(api.platform, A)
    packed(api, model, "pytorch", "zip")
    # Merged weights are not the adapter whose size stands beside it.
    assert fresh(api.platform, model).compressed_bytes is None
    packed(api, model, "adapter", "zip")
    assert fresh(api.platform, model).compressed_bytes == 70
    assert api.get(f"/v2/training/models/{model.id}").json()["size"]["compressed"] == 70


def test_an_archive_of_some_files_says_nothing_of_the_models_size(api: Gateway) -> None:
    model = world.model(api.platform, A)
    wish = {"format": "pytorch", "compression": "zip", "files": ["config.json"]}
    made = processing(api, download(api, model, **wish))
    world.finish(api.platform, made, report("pytorch", "zip", "config.json"))
    assert download(api, model, **wish).status == 200
    assert fresh(api.platform, model).compressed_bytes is None


def exported(kind: str, *names: str, **more: Any) -> dict[str, Any]:
    """The row of a model card for what was exported with the training."""
    files = [{"path": name, "size": 100, "sha256": "1" * 64} for name in names]
    return {"kind": kind, "files": files, "bytes": 100 * len(names), "proof": {"ok": True}} | more


def test_what_was_exported_with_the_training_answers_at_once(api: Gateway) -> None:
    rows = [exported("onnx", *FILES["onnx"], "model.onnx.data", "tokenizer_config.json")]
    model = world.model(api.platform, A, exports=rows)
    ready = download(api, model, format="onnx")
    assert ready.status == 200
    found = {file["name"]: urlsplit(file["url"]).path for file in ready.json()["files"]}
    assert set(found) == {*FILES["onnx"], "model.onnx.data"}
    assert found["model.onnx"].endswith(f"org_a/jobs/{model.job_id}/m/exports/onnx/model.onnx")
    assert api.platform.processings.of_subject("org_a", "package", model.id) == []


def test_an_export_that_failed_or_is_no_format_by_itself_is_made_by_a_job(api: Gateway) -> None:
    failed = {"kind": "onnx", "error": {"code": "export_failed", "message": "It differs.", "hint": "h"}}
    merged = exported("merged", "model-00001-of-00002.safetensors", "config.json")
    model = world.model(api.platform, A, exports=[failed, merged])
    assert fresh(api.platform, model).formats == {}
    assert [download(api, model, format=form).status for form in ("onnx", "huggingface")] == [202, 202]


def test_a_large_onnx_models_weights_come_with_its_graph(api: Gateway) -> None:
    model = world.model(api.platform, A)
    made = processing(api, download(api, model, format="onnx"))
    world.finish(api.platform, made, report("onnx", "none", *FILES["onnx"], "model.onnx.data"))
    found = download(api, model, format="onnx", files=["model.onnx"]).json()["files"]
    assert {file["name"] for file in found} == {"model.onnx", "model.onnx.data"}


def test_a_token_leads_to_the_archive_without_a_key(api: Gateway) -> None:
    model = world.model(api.platform, A)
    packed(api, model, "gguf", "tar.gz")
    ready = download(api, model, format="gguf", compression="tar.gz").json()
    assert ready["downloadToken"].startswith("tok_download_")
    found = api.stranger().get(f"/v2/training/downloads/{ready['downloadToken']}")
    assert found.status == 302
    assert urlsplit(found.headers["location"]).path == urlsplit(ready["downloadUrl"]).path


def test_a_token_lists_the_links_where_there_is_no_archive(api: Gateway) -> None:
    ready = download(api, world.model(api.platform, A)).json()
    assert ready["downloadUrl"] == f"https://api.example.test/v2/training/downloads/{ready['downloadToken']}"
    listed = api.stranger().get(f"/v2/training/downloads/{ready['downloadToken']}")
    assert listed.status == 200
    assert [file["name"] for file in listed.json()["files"]] == [file["name"] for file in ready["files"]]
    assert listed.json()["expiresAt"] == ready["expiresAt"]


def test_a_token_that_has_expired_is_answered_like_one_that_never_was(api: Gateway, platform: Platform) -> None:
    granted = platform.downloads.download(A, world.model(platform, A).id)
    platform.clock.advance(seconds=3601)
    told = []
    for token in (granted.token, "tok_download_of_nobody", "x"):  # type: ignore[union-attr]
        with pytest.raises(NotFound) as refused:
            platform.downloads.redeem(token)
        told.append(str(refused.value))
    assert len(set(told)) == 1
    assert api.stranger().get("/v2/training/downloads/tok_download_x").status == 404


@pytest.mark.parametrize(
    "token",
    ["tok_download_", "tok_download_%00", "tok_download_%ED%A0%80", "tok_download_..%2Fx", "%F0%9F%98%80", "DOWNLOAD"],
)
def test_a_token_that_nobody_was_given_is_answered_like_any_other(api: Gateway, token: str) -> None:
    def told(path: str) -> dict[str, Any]:
        answer = api.stranger().get(path)
        assert answer.status == 404
        return {name: value for name, value in answer.json().items() if name not in ("request_id", "timestamp")}

    known = told("/v2/training/downloads/tok_download_of_nobody")
    assert known["error"] == "DOWNLOAD_NOT_FOUND"
    assert told(f"/v2/training/downloads/{token}") == known


def test_the_digest_of_a_token_is_none(api: Gateway) -> None:
    token = download(api, world.model(api.platform, A)).json()["downloadToken"]
    digest = hashlib.sha256(token.encode()).hexdigest()
    [kept] = [item for item in api.platform.dynamodb.scan(TableName="luthier")["Items"] if digest in item["pk"]["S"]]
    # DynamoDB removes it when it has expired.
    assert 0 <= time.time() + 3600 - int(kept["ttl"]["N"]) < 60
    for told in (digest, f"tok_download_{digest}", kept["pk"]["S"].replace("#", "%23")):
        assert api.stranger().get(f"/v2/training/downloads/{told}").status == 404


def test_no_token_stands_in_the_table(api: Gateway) -> None:
    token = download(api, world.model(api.platform, A)).json()["downloadToken"]
    assert token not in json.dumps(api.platform.dynamodb.scan(TableName="luthier")["Items"])


def test_links_of_a_token_end_with_it(platform: Platform) -> None:
    granted = platform.downloads.download(A, world.model(platform, A).id)
    platform.clock.advance(seconds=3000)
    again = platform.downloads.redeem(granted.token)  # type: ignore[union-attr]
    ends = [int(parse_qs(urlsplit(url).query)["Expires"][0]) for url in again.urls.values()]
    assert all(end - time.time() <= 600 for end in ends)


def test_a_failure_is_told_once_and_then_tried_again(api: Gateway) -> None:
    model = world.model(api.platform, A)
    made = processing(api, download(api, model, format="onnx"))
    world.fail(api.platform, made, 'AlgorithmError: {"code": "export_failed", "message": "It differs.", "hint": "h"}')
    refused = download(api, model, format="onnx")
    assert (refused.status, refused.json()["error"]) == (422, "PACKAGING_FAILED")
    assert refused.json()["details"]["reason"]["code"] == "export_failed"
    assert "It differs." in refused.json()["message"]
    again = download(api, model, format="onnx")
    assert again.status == 202
    assert processing(api, again).attempt == 2


def test_what_cannot_be_made_costs_no_second_job(api: Gateway) -> None:
    model = world.model(api.platform, A)
    made = processing(api, download(api, model, format="tensorrt"))
    world.fail(api.platform, made, 'AlgorithmError: {"code": "export_unsupported", "message": "No GPU.", "hint": "h"}')
    assert [download(api, model, format="tensorrt").status for _ in range(3)] == [422] * 3
    assert world.fresh(api.platform, made).attempt == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"files": ["config.json", "model.onnx"], "format": "pytorch"}, "files[1]"),
        ({"files": ["../../other/secret"]}, "files[0]"),
        ({"files": []}, "files"),
        ({"files": "config.json"}, "files"),
        ({"files": [""]}, "files[0]"),
        ({"format": "tensorflow"}, "format"),
        ({"format": 1}, "format"),
        ({"compression": "rar"}, "compression"),
        ({"compression": None}, "compression"),
        ({"precision": "f16"}, "precision"),
    ],
)
def test_bad_input_names_its_field(api: Gateway, body: dict[str, Any], field: str) -> None:
    refused = download(api, world.model(api.platform, A), **body)
    assert (refused.status, refused.json()["details"]["field"]) == (400, field)


def test_weights_of_their_own_are_no_adapter_and_come_as_hugging_face_has_them(api: Gateway) -> None:
    model = world.model(api.platform, A, **OWN_WEIGHTS)
    refused = download(api, model, format="adapter")
    assert (refused.status, refused.json()["details"]["field"]) == (400, "format")
    assert download(api, model).json()["format"] == "huggingface"


def test_an_archived_model_is_not_downloaded(api: Gateway) -> None:
    model = world.model(api.platform, A)
    world.archive(api.platform, model)
    refused = download(api, model)
    assert (refused.status, refused.json()["error"]) == (409, "STATE_CONFLICT")
    assert refused.json()["details"]["current_state"] == "archived"


def test_a_model_that_is_still_trained_is_not_there(api: Gateway) -> None:
    refused = api.post(f"/v2/training/models/{id_of_job(api.platform.launched(A).id)}/download", {})
    assert (refused.status, refused.json()["error"]) == (409, "STATE_CONFLICT")


def test_a_model_is_downloaded_by_any_of_its_names(api: Gateway) -> None:
    model = world.model(api.platform, A)
    assert any("/" in name for name in model.names)
    for name in model.names:
        assert api.post(f"/v2/training/models/{name}/download", {}).status == 200


def test_another_organizations_model_is_not_there(api: Gateway) -> None:
    refused = download(api, world.model(api.platform, principal("org_b")))
    assert (refused.status, refused.json()["error"]) == (404, "MODEL_NOT_FOUND")


def lost(report: dict[str, Any], name: str) -> dict[str, Any]:
    return {left: content for left, content in report.items() if left != name}


@pytest.mark.parametrize(
    "left",
    [
        {"other.json": {}},
        {"package.json": '{"files": ['},
        {"package.json": {"files": []}},
        {"package.json": ["files"]},
        report("adapter", "zip", *FILES["adapter"]) | {"model.zip": "cut"},
        lost(report("adapter", "zip", *FILES["adapter"]), "model.zip"),
    ],
)
def test_a_job_that_left_less_than_it_says_has_failed_and_the_call_after_the_next_tries_again(
    api: Gateway, left: dict[str, Any]
) -> None:
    model = world.model(api.platform, A)
    made = processing(api, download(api, model, compression="zip"))
    ended = world.finish(api.platform, made, left)
    assert (ended.status, (ended.status_reason or {})["code"]) == ("failed", "artifact_missing")
    assert fresh(api.platform, model) == model
    refused = download(api, model, compression="zip")
    assert (refused.status, refused.json()["details"]["reason"]["code"]) == (422, "artifact_missing")
    assert download(api, model, compression="zip").status == 202


def test_a_conversion_of_which_a_file_is_lost_is_not_offered(api: Gateway) -> None:
    model = world.model(api.platform, A)
    made = processing(api, download(api, model, format="pytorch"))
    ended = world.finish(api.platform, made, lost(report("pytorch", "none", *FILES["pytorch"]), "config.json"))
    assert (ended.status, (ended.status_reason or {})["code"]) == ("failed", "artifact_missing")
    assert "config.json" in (ended.status_reason or {})["message"]
    assert fresh(api.platform, model).formats == {}


def test_a_model_that_was_deleted_meanwhile_gets_no_package(api: Gateway) -> None:
    model = world.model(api.platform, A)
    made = processing(api, download(api, model, format="gguf"))
    api.platform.dynamodb.delete_item(
        TableName="luthier", Key={"pk": {"S": "ORG#org_a"}, "sk": {"S": f"MODEL#{model.id}"}}
    )
    with pytest.raises(NotFound):
        world.plan(api.platform, made)
