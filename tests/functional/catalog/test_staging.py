import pytest

from luthier.catalog import service as catalog
from luthier.errors import Conflict
from tests.factories import BASE_MODEL, SETTINGS, Platform

GATED = '{"code": "gated_model", "message": "Access is restricted.", "hint": "Accept the licence on the hub."}'


def staged(platform: Platform) -> None:
    model = catalog.find_base_model(BASE_MODEL)
    platform.s3.put_object(
        Bucket=SETTINGS.base_models_bucket, Key=f"{model.id}/{model.revision}/manifest.json", Body=b"{}"
    )


def test_a_staged_model_is_used_where_it_lies(platform: Platform) -> None:
    staged(platform)
    plan = platform.staging.plan(BASE_MODEL)
    assert plan["status"] == "staged"
    assert plan["model_uri"].startswith("s3://luthier-base-models/")


def test_the_first_who_asks_copies_and_the_others_wait(platform: Platform) -> None:
    first, second = platform.staging.plan(BASE_MODEL), platform.staging.plan(BASE_MODEL)
    assert first["status"] == "copy"
    assert first["environment"]["STAGE_MODEL_ID"] == catalog.find_base_model(BASE_MODEL).hub_id
    assert second["status"] == "wait"


def test_waiting_goes_on_while_the_copy_runs(platform: Platform) -> None:
    name = platform.staging.plan(BASE_MODEL)["training_job_name"]
    platform.sagemaker.jobs[name] = {"TrainingJobStatus": "InProgress"}
    platform.clock.advance(hours=1)
    assert platform.staging.plan(BASE_MODEL)["status"] == "wait"


def test_a_copy_that_never_began_is_taken_over_under_a_new_name(platform: Platform) -> None:
    first = platform.staging.plan(BASE_MODEL)
    platform.clock.advance(minutes=5)
    second = platform.staging.plan(BASE_MODEL)
    assert second["status"] == "copy"
    assert second["training_job_name"] != first["training_job_name"]


def test_a_gated_model_fails_the_job_with_the_hubs_reason(platform: Platform) -> None:
    plan = platform.staging.plan(BASE_MODEL)
    platform.sagemaker.jobs[plan["training_job_name"]] = {"TrainingJobStatus": "Failed", "FailureReason": GATED}
    with pytest.raises(Conflict) as refused:
        platform.staging.plan(BASE_MODEL, plan)
    assert (refused.value.code, refused.value.remedy) == ("gated_model", "Accept the licence on the hub.")


def test_a_later_job_tries_a_failed_copy_again(platform: Platform) -> None:
    plan = platform.staging.plan(BASE_MODEL)
    platform.sagemaker.jobs[plan["training_job_name"]] = {"TrainingJobStatus": "Failed", "FailureReason": GATED}
    assert platform.staging.plan(BASE_MODEL)["status"] == "copy"


def test_names_fit_sagemaker(platform: Platform) -> None:
    for model in catalog.base_models():
        name = platform.staging.plan(model.id)["training_job_name"]
        assert len(name) <= 63
        assert name.replace("-", "").isalnum()
