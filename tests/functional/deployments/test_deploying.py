import json

import pytest

from luthier.deployments.entity import Deployment
from luthier.errors import Conflict, NotFound
from luthier.jobs.hyperparameters import HYPERPARAMETERS
from tests.factories import BASE_MODEL, MODEL_URI, Platform, principal

A, B = principal("org_a"), principal("org_b")


def settle(platform: Platform, made: Deployment, error: dict | None = None) -> Deployment:
    return platform.deployment_pipeline.settle(made.organization_id, made.target, made.attempt, error)


def test_a_completed_job_is_deploying_until_its_probe_was_answered(platform: Platform) -> None:
    job = platform.completed(A)
    assert platform.deployments.deploy_job(A, job.id).status == "deploying"
    platform.deployed(A, job.result_model or "")
    assert platform.deployments.deploy_job(A, job.id).status == "deployed"
    assert "model.deployed" in platform.events()


def test_deploying_twice_starts_one_pipeline(platform: Platform) -> None:
    job = platform.completed(A)
    names = {platform.deployments.deploy_job(A, job.id).endpoint_name for _ in range(3)}
    assert len(names) == 1
    assert len([s for s in platform.states.started if "deployment" in s["stateMachineArn"]]) == 1


def test_an_unfinished_job_cannot_be_deployed(platform: Platform) -> None:
    with pytest.raises(Conflict) as refused:
        platform.deployments.deploy_job(A, platform.job(A).id)
    assert refused.value.details == {"current": "queued", "required": ["completed"]}


def test_a_base_model_is_deployed_by_the_same_verb(platform: Platform) -> None:
    made = platform.deployments.deploy_model(A, BASE_MODEL)
    assert (made.target, made.adapter_uri) == (BASE_MODEL, None)


def test_another_organizations_model_cannot_be_deployed(platform: Platform) -> None:
    model = platform.completed(A).result_model or ""
    with pytest.raises(NotFound):
        platform.deployments.deploy_model(B, model)


def test_base_model_and_adapter_are_mounted_apart(platform: Platform) -> None:
    made = platform.deployed(A, platform.completed(A).result_model or "")
    container = platform.sagemaker.serving[("model", made.endpoint_name)]["PrimaryContainer"]
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] == MODEL_URI
    assert [source["ChannelName"] for source in container["AdditionalModelDataSources"]] == ["adapter"]


def test_creating_an_endpoint_again_adopts_what_is_there(platform: Platform) -> None:
    made = platform.deployments.deploy_model(A, BASE_MODEL)
    for _ in range(2):
        platform.deployment_pipeline.create_endpoint("org_a", made.target, MODEL_URI)
    assert len(platform.sagemaker.serving) == 3


def test_a_failed_deployment_says_why_and_leaves_nothing(platform: Platform) -> None:
    made = platform.deployments.deploy_model(A, BASE_MODEL)
    platform.deployment_pipeline.create_endpoint("org_a", made.target, MODEL_URI)
    platform.sagemaker.endpoint_status = "Failed"
    with pytest.raises(Conflict, match="did not come up"):
        platform.deployment_pipeline.check_endpoint("org_a", made.target)
    said = json.dumps({"code": "deployment_failed", "message": "no", "hint": "again"})
    failed = settle(platform, made, {"Error": "StepFailed", "Cause": json.dumps({"errorMessage": said})})
    assert (failed.status, (failed.status_reason or {})["code"]) == ("failed", "deployment_failed")
    assert platform.sagemaker.serving == {}


def test_a_failed_deployment_can_be_tried_again_under_a_new_endpoint(platform: Platform) -> None:
    first = settle(platform, platform.deployments.deploy_model(A, BASE_MODEL), {"Error": "X"})
    again = platform.deployments.deploy_model(A, BASE_MODEL)
    assert (again.status, again.attempt) == ("deploying", 2)
    assert again.endpoint_name != first.endpoint_name


def test_the_probe_is_a_real_question(platform: Platform) -> None:
    made = platform.deployments.deploy_model(A, BASE_MODEL)
    platform.deployment_pipeline.probe_endpoint("org_a", made.target)
    assert platform.runtime.asked[0]["messages"]


def test_the_sweeper_ends_a_deployment_whose_pipeline_died(platform: Platform) -> None:
    made = platform.deployments.deploy_model(A, BASE_MODEL)
    platform.states.statuses[made.execution_name] = "ABORTED"
    platform.clock.advance(minutes=1)
    assert platform.deployment_pipeline.sweep() == [BASE_MODEL]
    found = platform.deployments.find("org_a", BASE_MODEL)
    assert found is not None
    assert (found.status, (found.status_reason or {})["code"]) == ("failed", "interrupted")


def test_the_sweeper_starts_a_deployment_whose_pipeline_never_started(platform: Platform) -> None:
    platform.states.unavailable = True
    made = platform.deployments.deploy_model(A, BASE_MODEL)
    platform.states.unavailable = False
    platform.clock.advance(minutes=1)
    platform.deployment_pipeline.sweep()
    assert platform.states.started[-1]["name"] == made.execution_name


@pytest.mark.parametrize("status", ["Failed", "OutOfService", None])
def test_a_deployment_whose_endpoint_is_gone_is_brought_up_again(platform: Platform, status: str | None) -> None:
    made = platform.deployed(A, BASE_MODEL)
    if status:
        platform.sagemaker.endpoint_status = status
    else:
        platform.sagemaker.serving.clear()
    again = platform.deployments.deploy_model(A, BASE_MODEL)
    assert (again.status, again.attempt) == ("deploying", made.attempt + 1)


@pytest.mark.parametrize(("path", "below"), [(".", ""), ("exports/merged", "/exports/merged")])
def test_what_the_engine_takes_no_adapters_of_is_served_as_a_model_of_its_own(
    platform: Platform, path: str, below: str
) -> None:
    job = platform.complete(platform.launched(A), serving={"kind": "model", "path": path})
    made = platform.deployed(A, job.result_model or "")
    container = platform.sagemaker.serving[("model", made.endpoint_name)]["PrimaryContainer"]
    assert (
        container["ModelDataSource"]["S3DataSource"]["S3Uri"] == f"s3://luthier-artifacts/org_a/jobs/{job.id}/m{below}/"
    )
    assert "AdditionalModelDataSources" not in container
    assert "OPTION_ENABLE_LORA" not in container["Environment"]
    platform.inference.chat(A, {"model": job.result_model, "messages": [{"role": "user", "content": "Hi"}]})
    assert platform.runtime.asked[-1]["model"] == "lmi"


def test_the_engine_takes_adapters_of_every_rank_that_can_be_trained(platform: Platform) -> None:
    made = platform.deployed(A, platform.completed(A).result_model or "")
    environment = platform.sagemaker.serving[("model", made.endpoint_name)]["PrimaryContainer"]["Environment"]
    ranks = next(row for row in HYPERPARAMETERS if row.name == "lora_rank")
    assert int(environment["OPTION_MAX_LORA_RANK"]) == ranks.maximum
    # vLLM's LoRAConfig refuses any other.
    assert ranks.maximum in (8, 16, 32, 64, 128, 256, 320, 512)
