"""What an imported model is good for: everything that a trained one is."""

from typing import Any

import pytest

from luthier.errors import InvalidRequest
from luthier.models.entity import Model
from tests.factories import BASE_MODEL, MODEL_URI, Platform, principal
from tests.functional.imports import world
from tests.gateway import Gateway

A = principal("org_a")
MODELS = "/v2/training/models"


def imported(api: Gateway, card: dict[str, Any] | None = None, **more: Any) -> Model:
    files = world.MERGED if card == world.MERGED_CARD else world.ADAPTER
    done = world.adopted(api, world.uploaded(api, files, **more), card)
    model = api.platform.models.find("org_a", done["modelId"])
    assert model is not None
    return model


def test_training_goes_on_from_its_adapter_in_its_shape(api: Gateway) -> None:
    model = imported(api)
    job = api.platform.job(A, base_model=model.name, hyperparameters={"epochs": 1})
    asked = job.hyperparameters
    assert {name: asked[name] for name in ("lora_rank", "lora_alpha", "target_modules", "use_rslora")} == {
        "lora_rank": 4, "lora_alpha": 12, "target_modules": ["q_proj", "v_proj"], "use_rslora": True,
    }  # fmt: skip
    plan = api.platform.pipeline.plan_launch(api.platform.step(job), model_uri=MODEL_URI, max_runtime_seconds=9)
    places = {row["ChannelName"]: row["DataSource"]["S3DataSource"]["S3Uri"] for row in plan["channels"]}
    assert places["adapter"] == model.artifact_uri
    assert places["adapter"].startswith("s3://luthier-artifacts/org_a/jobs/processing/proc_")
    next_one = api.platform.models.of_job(api.platform.completed(A, base_model=model.id))
    assert next_one is not None
    assert (next_one.parent, next_one.start_from) == (model.id, model.name)


def test_a_wish_that_contradicts_the_adapter_is_refused(api: Gateway) -> None:
    with pytest.raises(InvalidRequest) as refused:
        api.platform.job(A, base_model=imported(api).name, hyperparameters={"loraRank": 8})
    assert (refused.value.code, refused.value.param) == ("cannot_continue", "hyperparameters.loraRank")


@pytest.mark.parametrize(
    "parameters",
    [{"rank": 4, "alpha": 12.5, "target_modules": ["c_attn"]}, {"rank": 4, "alpha": 8192, "target_modules": ".*_proj"}],
)
def test_a_shape_that_no_job_can_have_is_left_to_the_trainer(api: Gateway, parameters: dict[str, Any]) -> None:
    card = world.CARD | {"training": world.CARD["training"] | {"strategy": "lora", "parameters": parameters}}
    model = imported(api, card)
    assert model.hyperparameters == {"adapter": "lora", "lora_rank": 4, "use_rslora": False}
    assert api.platform.job(A, base_model=model.name).start_from


def test_merged_weights_have_no_adapter_to_go_on_from(api: Gateway) -> None:
    with pytest.raises(InvalidRequest, match="no adapter"):
        api.platform.job(A, base_model=imported(api, world.MERGED_CARD).name)


def test_it_becomes_the_next_version_of_a_line_by_the_id_of_its_import(api: Gateway) -> None:
    line = api.platform.completed(A).result_model
    import_id = world.uploaded(api)
    wish = {"version": "v1.1.0", "trainingJobId": import_id}
    assert api.post(f"{MODELS}/{line}/versions", wish).status == 404
    done = world.adopted(api, import_id)
    added = api.post(f"{MODELS}/{line}/versions", wish)
    assert (added.status, added.json()["id"]) == (201, done["modelId"])
    found = api.get(f"{MODELS}/{line}/versions").json()["versions"]
    assert [version["version"] for version in found] == ["v1.0.0", "v1.1.0"]
    again = api.post(f"{MODELS}/{line}/versions", wish | {"version": "v1.2.0"})
    assert again.status == 409
    assert "the model of the import is already version v1.1.0" in again.json()["message"]


@pytest.mark.parametrize(
    ("named", "warned"),
    [
        (None, False),
        (BASE_MODEL, False),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", False),
        ("/home/me/models/SmolLM2-135M-Instruct/", False),
        ("C:\\models\\smollm2-135m-instruct", False),
        ("HuggingFaceTB/SmolLM2-135M", True),
        ("acme/base", True),
    ],
)
def test_an_adapter_that_names_another_base_is_taken_with_a_warning(
    api: Gateway, named: str | None, warned: bool
) -> None:
    done = world.adopted(api, world.uploaded(api), world.CARD | {"named_base": named})
    assert [bool(named and named in warning) for warning in done["warnings"]] == [True] * warned


def test_it_is_deployed(api: Gateway) -> None:
    model = imported(api)
    made = api.platform.deployed(A, model.name)
    assert (made.status, made.job_id) == ("active", None)
    assert made.adapter_uri == f"{model.artifact_uri.rstrip('/')}/serving/adapter.tar.gz"
    assert made.proof_uri == f"{model.artifact_uri.rstrip('/')}/proof.json"


def test_it_is_found_by_the_import_where_models_are_found_by_their_job(api: Gateway) -> None:
    model = imported(api)
    found = api.get(f"{MODELS}?trainingJobId={model.id.replace('model_', 'import_')}").json()["models"]
    assert [row["id"] for row in found] == [model.id]


def test_it_is_deleted_with_its_objects(api: Gateway) -> None:
    platform: Platform = api.platform
    model = imported(api)
    prefix = model.artifact_uri.removeprefix("s3://luthier-artifacts/")
    assert platform.s3.list_objects_v2(Bucket="luthier-artifacts", Prefix=prefix)["KeyCount"]
    assert api.delete(f"{MODELS}/{model.id}").status == 200
    platform.clock.advance(days=3650)
    assert platform.retention.sweep()["deleted"] == [model.id]
    assert platform.s3.list_objects_v2(Bucket="luthier-artifacts", Prefix=prefix)["KeyCount"] == 0
    assert api.get(f"{MODELS}/{model.id}").status == 404


def test_it_is_compared_by_what_is_known_of_it(api: Gateway) -> None:
    model = imported(api)
    answer = api.post(f"{MODELS}/compare", {"models": [model.id, model.base_model], "metrics": ["loss"]})
    assert answer.status == 200
    assert [row["metrics"]["loss"] for row in answer.json()["comparison"]["models"]] == [None, None]
