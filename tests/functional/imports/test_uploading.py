"""Models that are uploaded: announced, sent to S3, checked by a job, and then models like any other."""

import json
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from botocore.config import Config

from luthier import clock
from luthier.imports.sources import ImportSources
from tests.factories import BASE_MODEL, MODEL_URI, SETTINGS, principal
from tests.functional.imports import world
from tests.functional.imports.world import ADAPTER, IMPORTS, MERGED, begin, complete, put, upload_of, uploaded
from tests.functional.processing import world as processing_world
from tests.gateway import Gateway

MODELS = "/v2/training/models"


def jobs_started(api: Gateway) -> int:
    return len([run for run in api.platform.states.started if "processing" in run["stateMachineArn"]])


def refused(api: Gateway, source: Any, **more: Any) -> dict[str, Any]:
    answer = api.post(IMPORTS, world.body(source, **more))
    assert answer.status in (400, 409, 413), answer.text
    return dict(answer.json())


def test_an_upload_is_announced_with_an_address_for_each_file(api: Gateway) -> None:
    begun = begin(api, description="ours", tags=["a", "b", "a"])
    known = ("name", "baseModel", "description", "tags", "status", "modelId", "error")
    assert {name: begun[name] for name in known} == {
        "name": "from-elsewhere", "baseModel": BASE_MODEL, "description": "ours", "tags": ["a", "b"],
        "status": "awaiting_upload", "modelId": None, "error": None,
    }  # fmt: skip
    assert [upload["name"] for upload in begun["uploads"]] == list(ADAPTER)
    assert begun["uploads"][1]["headers"] == {
        "Content-Type": "application/octet-stream", "Content-Length": "7", "If-None-Match": "*",
    }  # fmt: skip
    shown = api.get(f"{IMPORTS}/{begun['id']}").json()
    assert shown == {name: value for name, value in begun.items() if name != "uploads"}
    assert jobs_started(api) == 0


def test_an_address_takes_its_file_in_the_announced_size_only_and_only_once(api: Gateway) -> None:
    imported = api.platform.imports.get(principal(), begin(api)["id"]).imported
    s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
    for upload in ImportSources(s3, SETTINGS).uploads(imported):
        [signed] = parse_qs(urlsplit(upload.url).query)["X-Amz-SignedHeaders"]
        assert {"content-length", "content-type", "if-none-match"} <= set(signed.split(";"))


def test_it_is_checked_once_its_files_have_arrived(api: Gateway) -> None:
    begun = begin(api)
    early = complete(api, begun["id"])
    assert (early.status, early.json()["details"]["missing"]) == (409, list(ADAPTER))
    put(begun, ADAPTER)
    done = complete(api, begun["id"])
    assert (done.status, done.json()["status"]) == (200, "checking")
    assert complete(api, begun["id"]).json() == done.json()
    assert jobs_started(api) == 1


def test_a_file_of_another_size_has_not_arrived(api: Gateway) -> None:
    begun = begin(api)
    put(begun, ADAPTER)
    [key] = [key for key in world.uploads_of(api.platform) if key.endswith("safetensors")]
    api.platform.s3.put_object(Bucket="luthier-data", Key=key, Body=b"more than was announced")
    answer = complete(api, begun["id"])
    assert (answer.status, answer.json()["details"]["missing"]) == (409, ["adapter_model.safetensors"])


def test_the_job_reads_the_files_and_the_base_and_is_told_the_name(api: Gateway) -> None:
    import_id = uploaded(api)
    asked = processing_world.plan(api.platform, world.processing(api.platform, import_id))
    places = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in asked["channels"]}
    assert places == {"source": f"s3://luthier-data/.imports/org_a/{import_id}/", "base": MODEL_URI}
    assert asked["entrypoint"] == ["python", "-m", "trainer.adopt"]
    assert asked["arguments"] == [
        "--root", "/opt/ml", "--name", "from-elsewhere", "--base-model", BASE_MODEL,
    ]  # fmt: skip
    assert asked["instance_type"] == "ml.m5.xlarge"


def test_an_adapter_becomes_a_model_with_all_that_its_card_says(api: Gateway) -> None:
    done = world.adopted(api, uploaded(api, description="ours", tags=["tickets"]))
    assert done["status"] == "completed"
    assert done["completedAt"]
    model = api.get(f"{MODELS}/{done['modelId']}").json()
    assert api.get(f"{MODELS}/from-elsewhere").json() == model
    assert {name: model[name] for name in ("name", "names", "status", "version", "description", "tags")} == {
        "name": "from-elsewhere", "names": ["from-elsewhere"], "status": "ready", "version": "v1.0.0",
        "description": "ours", "tags": ["tickets"],
    }  # fmt: skip
    assert (model["trainingJobId"], model["datasetId"], model["lineage"]["jobId"]) == (None, None, None)
    assert model["lineage"]["baseModel"] == BASE_MODEL
    assert model["architecture"]["layers"] == 30
    assert (model["training"]["strategy"], model["training"]["parameters"]["rank"]) == ("rslora", 4)
    assert model["size"]["trainable_parameters"] == 230_400
    assert [file["name"] for file in model["files"]] == [file["path"] for file in world.CARD["files"]]
    assert api.get(f"/v1/models/{done['modelId']}").json()["job_id"] is None
    assert [row["id"] for row in api.get(MODELS).json()["models"]] == [done["modelId"]]
    assert {"model.registered", "processing.completed"} <= set(api.platform.events())


def test_taking_in_a_job_twice_makes_one_model(api: Gateway) -> None:
    import_id = uploaded(api)
    made = world.processing(api.platform, import_id)
    store = api.platform.processing_pipeline._store
    save, died = store.save, []

    def dying(*arguments: Any) -> None:
        if not died:
            died.append(True)
            raise OSError("the function died after the model was written")
        save(*arguments)

    processing_world.launch(api.platform, made)
    store.save = dying  # type: ignore[method-assign]
    described = api.platform.sagemaker.jobs[processing_world.fresh(api.platform, made).training_job_name or ""]
    described |= {"TrainingJobStatus": "Completed", "BillableTimeInSeconds": 60}
    folder = described["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://luthier-artifacts/")
    api.platform.put_artifact(f"{folder}model_card.json", json.dumps(world.CARD))
    with pytest.raises(OSError):
        processing_world.settle(api.platform, made)
    assert processing_world.settle(api.platform, made).status == "completed"
    assert len(api.get(MODELS).json()["models"]) == 1
    assert api.platform.events().count("model.registered") == 1


def test_a_model_that_the_check_refuses_is_failed_with_its_reason_and_makes_no_model(api: Gateway) -> None:
    import_id = uploaded(api)
    said = {"code": "bad_adapter", "message": "The adapter does not fit.", "hint": "Choose its base model."}
    processing_world.fail(api.platform, world.processing(api.platform, import_id), json.dumps(said))
    shown = api.get(f"{IMPORTS}/{import_id}").json()
    assert (shown["status"], shown["error"], shown["modelId"]) == ("failed", said, None)
    assert api.get(MODELS).json()["models"] == []
    assert "processing.failed" in api.platform.events()


def test_a_failed_check_is_tried_again_by_completing_it_again(api: Gateway) -> None:
    import_id = uploaded(api)
    processing_world.fail(api.platform, world.processing(api.platform, import_id), "ClientError: no")
    assert complete(api, import_id).json()["status"] == "checking"
    assert jobs_started(api) == 2
    assert world.adopted(api, import_id)["status"] == "completed"


def test_a_job_that_leaves_no_card_is_a_failure(api: Gateway) -> None:
    import_id = uploaded(api)
    processing_world.finish(api.platform, world.processing(api.platform, import_id), {"other.json": {}})
    assert api.get(f"{IMPORTS}/{import_id}").json()["error"]["code"] == "artifact_missing"


def test_the_sweeper_starts_a_check_whose_machine_never_started(api: Gateway) -> None:
    begun = begin(api)
    put(begun, ADAPTER)
    api.platform.states.unavailable = True
    assert complete(api, begun["id"]).json()["status"] == "checking"
    api.platform.states.unavailable = False
    api.platform.clock.moment = clock.now() + timedelta(minutes=1)
    assert api.platform.processing_pipeline.sweep()
    assert world.adopted(api, begun["id"])["status"] == "completed"


def test_a_name_that_was_taken_meanwhile_gets_a_number(api: Gateway) -> None:
    first, second = uploaded(api), uploaded(api)
    world.adopted(api, first)
    done = world.adopted(api, second)
    assert api.get(f"{MODELS}/{done['modelId']}").json()["name"] == "from-elsewhere-2"


def test_a_name_that_is_taken_is_refused_before_anything_is_uploaded(api: Gateway) -> None:
    world.adopted(api, uploaded(api))
    again = api.post(IMPORTS, world.body())
    assert (again.status, again.json()["error"]) == (409, "NAME_TAKEN")
    assert api.post(IMPORTS, world.body(name=BASE_MODEL)).status == 409


def test_equal_requests_with_one_key_make_one_import_and_answer_new_addresses(api: Gateway) -> None:
    key = {"Idempotency-Key": "k"}
    first, second = (api.post(IMPORTS, world.body(), headers=key).json() for _ in range(2))
    assert first["id"] == second["id"]
    assert len(second["uploads"]) == 2
    put(second, ADAPTER)
    complete(api, first["id"])
    world.adopted(api, first["id"])
    third = api.post(IMPORTS, world.body(), headers=key).json()
    assert (third["status"], third["uploads"]) == ("completed", [])
    other = api.post(IMPORTS, world.body(description="other"), headers=key)
    assert (other.status, other.json()["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize(
    ("names", "place", "reason"),
    [
        (["../adapter_config.json"], "[0].name", "invalid_filename"),
        (["a/adapter_config.json"], "[0].name", "invalid_filename"),
        (["a\\b.safetensors"], "[0].name", "invalid_filename"),
        ([".."], "[0].name", "invalid_filename"),
        ([".safetensors"], "[0].name", "invalid_filename"),
        (["adapter_config.json\n"], "[0].name", "invalid_filename"),
        (["adapter_config.json", "adapter_config.json"], "[1].name", "invalid_filename"),
        (["adapter_config.json", "modeling_evil.py"], "[1].name", "invalid_filename"),
        (["adapter_config.json", "adapter_model.bin"], "[1].name", "no_safetensors"),
        (["config.json", "pytorch_model.bin"], "[1].name", "no_safetensors"),
        (["adapter_config.json"], "", "bad_import"),
        (["adapter_model.safetensors"], "", "bad_import"),
        (["model.safetensors"], "", "bad_import"),
        (["config.json", "tokenizer.json"], "", "bad_import"),
        (["config.json", "model-00001-of-00002.safetensors"], "", "bad_import"),
    ],
)
def test_files_that_make_no_model_are_refused_by_their_place(
    api: Gateway, names: list[str], place: str, reason: str
) -> None:
    error = refused(api, {"type": "upload", "files": [{"name": name, "size": 5} for name in names]})
    assert (error["details"]["field"], error["details"]["reason"]) == (f"source.files{place}", reason)
    if reason == "no_safetensors":
        assert "save_pretrained writes safetensors" in error["message"]


def test_merged_weights_in_parts_and_their_tokenizer_are_taken(api: Gateway) -> None:
    names = ["config.json", "model.safetensors.index.json", "model-00001-of-00002.safetensors", "tokenizer.json"]
    assert len(begin(api, upload_of(dict.fromkeys(names, b"x")))["uploads"]) == 4


def test_more_than_a_model_of_its_base_can_have_is_refused(api: Gateway) -> None:
    files = [{"name": "adapter_config.json", "size": 5}, {"name": "adapter_model.safetensors", "size": 4 << 30}]
    error = refused(api, {"type": "upload", "files": files})
    assert (error["error"], error["details"]["bytes"]) == ("PAYLOAD_TOO_LARGE", (4 << 30) + 5)
    assert BASE_MODEL in error["message"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "compare"}, "name"),
        ({"name": "a b"}, "name"),
        ({"baseModel": "no-such-model"}, "baseModel"),
        ({"baseModel": 3}, "baseModel"),
        ({"description": "x" * 2_001}, "description"),
        ({"tags": [""]}, "tags[0]"),
        ({"version": "v2.0.0"}, "version"),
        ({"source": None}, "source"),
        ({"source": {}}, "source.type"),
        ({"source": {"type": "hub"}}, "source.type"),
        ({"source": {"type": "upload"}}, "source.files"),
        ({"source": {"type": "upload", "files": []}}, "source.files"),
        ({"source": {"type": "upload", "files": [{"name": "x"}]}}, "source.files[0].size"),
        ({"source": {"type": "upload", "files": [{"name": "x", "size": 0}]}}, "source.files[0].size"),
        ({"source": {"type": "upload", "files": [{"name": "x", "size": (5 << 30) + 1}]}}, "source.files[0].size"),
        ({"source": {"type": "upload", "files": [{"name": "", "size": 1}]}}, "source.files[0].name"),
        ({"source": {"type": "upload", "files": [{"name": "x", "size": 1}] * 101}}, "source.files"),
        ({"source": {"type": "upload", "files": [{"name": "x", "size": 1}], "uri": "s3://a/b"}}, "source.uri"),
        ({"source": {"type": "s3"}}, "source.uri"),
        ({"source": {"type": "s3", "uri": "s3://a/b", "files": [{"name": "x", "size": 1}]}}, "source.files"),
    ],
)
def test_a_wrong_body_is_refused_by_its_field(api: Gateway, change: dict[str, Any], field: str) -> None:
    answer = api.post(IMPORTS, world.body() | change)
    assert (answer.status, answer.json()["details"]["field"]) == (400, field)


def test_another_organization_sees_and_completes_nothing(api: Gateway) -> None:
    begun = begin(api)
    put(begun, ADAPTER)
    stranger = api.caller("admin", organization_id="org_b")
    assert stranger.get(f"{IMPORTS}/{begun['id']}").status == 404
    assert complete(stranger, begun["id"]).status == 404
    assert jobs_started(api) == 0


def test_a_key_that_only_reads_imports_nothing(api: Gateway) -> None:
    begun = begin(api)
    reader = api.caller("models:read")
    assert reader.post(IMPORTS, world.body()).status == 403
    assert complete(reader, begun["id"]).status == 403
    assert reader.get(f"{IMPORTS}/{begun['id']}").status == 200


@pytest.mark.parametrize("path", ["import_x", "import_x/complete", "import_x/versions"])
def test_what_lies_below_imports_is_no_model(api: Gateway, path: str) -> None:
    answer = api.send("POST" if path.endswith("complete") else "GET", f"{IMPORTS}/{path}")
    assert answer.status == 404
    assert answer.json()["error"] != "MODEL_NOT_FOUND"


def test_merged_weights_become_a_model_of_their_own(api: Gateway) -> None:
    done = world.adopted(api, uploaded(api, MERGED), world.MERGED_CARD)
    model = api.platform.models.find("org_a", done["modelId"])
    assert model is not None
    assert (model.serving["kind"], model.source, model.has_adapter) == ("model", "import", False)
