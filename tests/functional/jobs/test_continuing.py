"""A job that goes on from the adapter of an earlier model."""

import json

import pytest

from luthier.catalog import service as catalog
from luthier.errors import InvalidRequest
from luthier.jobs.entity import Job
from tests.factories import BASE_MODEL, MODEL_URI, Platform, principal
from tests.gateway import Gateway, api

__all__ = ["api"]

A, B = principal("org_a"), principal("org_b")


@pytest.fixture
def earlier(platform: Platform) -> Job:
    return platform.completed(A, suffix="v1", hyperparameters={"loraRank": 4, "loraAlpha": 12, "useRslora": True})


def channels(platform: Platform, job: Job) -> dict[str, str]:
    plan = platform.pipeline.plan_launch(platform.step(job), model_uri=MODEL_URI, max_runtime_seconds=9)
    return {row["ChannelName"]: row["DataSource"]["S3DataSource"]["S3Uri"] for row in plan["channels"]}


def test_it_trains_the_same_base_from_that_adapter_under_any_of_its_names(platform: Platform, earlier: Job) -> None:
    model = platform.models.get(A, earlier.result_model or "")
    for name in (*model.names, model.id):
        job = platform.job(A, base_model=name)
        assert (job.base_model, job.start_from and job.start_from["model"]) == (BASE_MODEL, model.name)
        assert channels(platform, job)["adapter"] == f"{model.artifact_uri}/"


def test_a_job_that_starts_from_a_base_model_has_no_adapter_to_read(platform: Platform) -> None:
    assert set(channels(platform, platform.job(A))) == {"config", "model", "train"}


def test_it_keeps_the_shape_of_the_adapter_and_may_change_the_rest(platform: Platform, earlier: Job) -> None:
    job = platform.job(
        A, base_model=earlier.result_model, hyperparameters={"epochs": 1, "loraRank": "auto", "loraAlpha": 12}
    )
    asked = job.hyperparameters
    assert [asked[name] for name in ("epochs", "lora_rank", "lora_alpha", "use_rslora")] == [1, 4, 12, True]


def test_its_result_is_named_by_the_base_model_and_says_where_it_came_from(platform: Platform, earlier: Job) -> None:
    job = platform.completed(A, base_model=earlier.result_model, suffix="v2")
    assert job.result_model == f"{BASE_MODEL}-v2"
    assert platform.models.get(A, job.result_model or "").start_from == earlier.result_model
    config = platform.s3.get_object(Bucket="luthier-data", Key=f"org_a/jobs/{job.id}/1/config/job.json")["Body"].read()
    assert json.loads(config)["start_from"] == {"model": earlier.result_model}


@pytest.mark.parametrize(
    ("given", "field"),
    [({"loraRank": 8}, "loraRank"), ({"useDora": True}, "useDora"), ({"adapter": "full"}, "adapter")],
)
def test_a_wish_that_contradicts_the_adapter_is_refused(
    platform: Platform, earlier: Job, given: dict, field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        platform.job(A, base_model=earlier.result_model, hyperparameters=given)
    assert (refused.value.code, refused.value.param) == ("cannot_continue", f"hyperparameters.{field}")


def test_a_model_without_an_adapter_is_refused(platform: Platform) -> None:
    own = {"serving": {"kind": "model", "path": "."}, "files": [{"path": "model.safetensors", "size": 1, "sha256": ""}]}
    job = platform.complete(platform.launched(A, hyperparameters={"adapter": "full"}), **own)
    with pytest.raises(InvalidRequest, match="no adapter") as refused:
        platform.job(A, base_model=job.result_model)
    assert (refused.value.code, refused.value.param) == ("cannot_continue", "baseModel")


def test_an_adapter_of_another_revision_is_refused(platform: Platform) -> None:
    revision = catalog.find_base_model(BASE_MODEL).revision
    same = platform.complete(platform.launched(A), base_model={"id": BASE_MODEL, "revision": revision})
    assert platform.job(A, base_model=same.result_model).start_from
    other = platform.complete(platform.launched(A), base_model={"id": BASE_MODEL, "revision": "0" * 40})
    with pytest.raises(InvalidRequest, match="revision"):
        platform.job(A, base_model=other.result_model)


def test_another_organizations_model_is_as_unknown_as_none(platform: Platform, earlier: Job) -> None:
    for who, name in ((B, earlier.result_model), (A, "smollm2-nothing")):
        with pytest.raises(InvalidRequest) as refused:
            platform.job(who, base_model=name)
        assert refused.value.code == "unknown_base_model"


def test_the_job_shows_what_it_goes_on_from_and_what_auto_became(api: Gateway) -> None:
    earlier = api.platform.completed()
    dataset = api.platform.dataset().id
    body = {
        "baseModel": earlier.result_model,
        "dataset": dataset,
        "hyperparameters": {"epochs": "auto", "batchSize": 2},
        "exports": ["gguf-q8_0"],
        "evaluation": {"maxExamples": 3},
    }
    created = api.post("/v1/fine-tune", body)
    assert created.status == 201, created.text
    for path in (f"/v1/fine-tune/{created.json()['jobId']}", f"/api/v1/fine-tuning/jobs/{created.json()['jobId']}"):
        shown = api.get(path).json()
        assert (shown["baseModel"], shown["startFrom"]) == (BASE_MODEL, earlier.result_model)
        assert shown["autoHyperparameters"] == ["epochs", "validationShare"]
        assert isinstance(shown["hyperparameters"]["epochs"], int)
        assert shown["exports"] == ["gguf-q8_0"]
        assert shown["evaluation"] == {"generate": True, "maxExamples": 3, "maxNewTokens": 256}
        assert shown["ended"] is None


def test_tensorrt_engines_need_a_gpu(platform: Platform) -> None:
    with pytest.raises(InvalidRequest, match="tensorrt") as refused:
        platform.job(A, exports=["tensorrt"])
    assert (refused.value.code, refused.value.param) == ("gpu_required", "exports")
    assert platform.job(A, exports=["tensorrt"], hardware="gpu-l4-24gb").exports == ["tensorrt"]
