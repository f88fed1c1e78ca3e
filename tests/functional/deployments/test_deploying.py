"""Deployments on their way up: what SageMaker is asked for, in which order, and what a client may ask again."""

from typing import Any

import pytest

from luthier.deployments.wishes import Wish
from luthier.errors import Conflict, InvalidRequest, NotFound, Unprocessable
from luthier.jobs.hyperparameters import HYPERPARAMETERS
from tests.deployment_machine import MODEL_URI
from tests.factories import BASE_MODEL, Platform, principal

A, B = principal("org_a"), principal("org_b")
DEDICATED = Wish(kind="dedicated")


def model_of(platform: Platform, who: Any = A, **card: Any) -> str:
    return platform.complete(platform.launched(who), **card).result_model or ""


def test_a_completed_job_is_deploying_until_its_probe_was_answered(platform: Platform) -> None:
    job = platform.completed(A)
    assert platform.deployments.deploy_job(A, job.id).status == "deploying"
    assert platform.deployed(A, job.result_model or "").status == "active"
    assert platform.deployments.deploy_job(A, job.id).status == "active"
    assert "model.deployed" in platform.events()
    assert platform.runtime.asked[0]["messages"]


def test_deploying_twice_starts_one_run(platform: Platform) -> None:
    job = platform.completed(A)
    ids = {platform.deployments.deploy_job(A, job.id).id for _ in range(3)}
    assert len(ids) == 1
    assert len([s for s in platform.states.started if "deployment" in s["stateMachineArn"]]) == 1


def test_another_name_or_environment_is_another_deployment(platform: Platform) -> None:
    name = model_of(platform)
    wishes = (Wish(), Wish(name="chat"), Wish(environment="staging"), Wish(name="chat", environment="staging"))
    assert len({platform.deployments.deploy_model(A, name, wish).id for wish in wishes}) == 4


def test_deploying_again_with_other_settings_is_refused_and_names_them(platform: Platform) -> None:
    name = model_of(platform)
    made = platform.deployments.deploy_model(A, name, Wish(configuration={"max_tokens": 8}))
    assert platform.deployments.deploy_model(A, name, Wish(configuration={"max_tokens": 8})) == made
    for wish, field in ((Wish(kind="dedicated"), "kind"), (Wish(configuration={"top_p": 0.5}), "configuration")):
        with pytest.raises(Conflict, match=field) as refused:
            platform.deployments.deploy_model(A, name, wish)
        assert refused.value.param == field


def test_an_unfinished_job_cannot_be_deployed(platform: Platform) -> None:
    with pytest.raises(Conflict) as refused:
        platform.deployments.deploy_job(A, platform.job(A).id)
    assert refused.value.details == {"current": "queued", "required": ["completed"]}


def test_an_archived_model_cannot_be_deployed(platform: Platform) -> None:
    model = platform.models.get(A, model_of(platform))
    platform.set_model(model, status="archived")
    with pytest.raises(Conflict, match="archived") as refused:
        platform.deployments.deploy_model(A, model.id)
    assert refused.value.details["current"] == "archived"


def test_a_model_that_is_archived_between_read_and_write_is_not_deployed(platform: Platform) -> None:
    model = platform.models.get(A, model_of(platform))
    wanted = platform.drafts.draw(A, model.id, Wish())
    platform.set_model(model, status="archived")
    with pytest.raises(Conflict, match="archived"):
        platform.deployment_store.save(None, wanted)
    assert platform.deployment_store.get("org_a", wanted.id) is None


def test_another_organizations_model_cannot_be_deployed(platform: Platform) -> None:
    with pytest.raises(NotFound):
        platform.deployments.deploy_model(B, model_of(platform))


def test_an_adapter_stands_on_the_base_model_of_its_host(platform: Platform) -> None:
    name = model_of(platform)
    made = platform.deployed(A, name)
    model = platform.models.get(A, name)
    container = platform.sagemaker.container(made.host or "")
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] == MODEL_URI
    adapter = platform.sagemaker.serving["component", made.component_name]
    assert adapter["Specification"] == {
        "BaseInferenceComponentName": f"{made.host}-base",
        "Container": {"ArtifactUrl": f"{model.artifact_uri}/serving/adapter.tar.gz"},
    }
    assert (adapter["EndpointName"], made.endpoint_name) == (made.host, made.host)


def test_all_organizations_share_one_host(platform: Platform) -> None:
    hosts = {platform.deployed(who, model_of(platform, who)).host for who in (A, A, B)}
    hosts.add(platform.deployed(B, BASE_MODEL).host)
    assert len(hosts) == 1
    assert platform.sagemaker.names("endpoint") == [*hosts]
    assert len(platform.sagemaker.names("component")) == 4


def test_the_next_adapter_makes_no_endpoint(platform: Platform) -> None:
    platform.deployed(A, model_of(platform))
    before = len(platform.sagemaker.calls)
    platform.deployed(A, model_of(platform))
    assert platform.sagemaker.calls[before:] == ["CreateInferenceComponent"]


def test_a_host_is_counted_by_its_tenants(platform: Platform) -> None:
    for who in (A, B):
        platform.deployed(who, model_of(platform, who))
    host = platform.deployments.host(platform.deployed(A, BASE_MODEL))
    assert host is not None
    assert host.tenants == 3


def test_a_dedicated_adapter_has_an_endpoint_of_its_own(platform: Platform) -> None:
    made = platform.run_deployment(platform.deployments.deploy_model(A, model_of(platform), Wish(workers=2)))
    assert (made.kind, made.status, made.host) == ("dedicated", "active", None)
    assert platform.sagemaker.names("endpoint") == [made.own_name]
    assert platform.sagemaker.names("component") == [made.own_name, f"{made.own_name}-base"]
    base = platform.sagemaker.serving["component", f"{made.own_name}-base"]
    assert base["RuntimeConfig"] == {"CopyCount": 2}
    variant = platform.sagemaker.serving["config", made.own_name]["ProductionVariants"][0]
    assert "ModelName" not in variant
    assert variant["ManagedInstanceScaling"] == {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 20}


@pytest.mark.parametrize(("path", "below"), [(".", ""), ("exports/merged", "/exports/merged")])
def test_what_the_engine_takes_no_adapters_of_is_served_as_a_model_of_its_own(
    platform: Platform, path: str, below: str
) -> None:
    name = model_of(platform, serving={"kind": "model", "path": path})
    made = platform.deployed(A, name)
    assert (made.kind, made.component_name) == ("dedicated", f"{made.own_name}-base")
    container = platform.sagemaker.container(made.own_name)
    uri = f"{platform.models.get(A, name).artifact_uri}{below}/"
    assert container["ModelDataSource"]["S3DataSource"]["S3Uri"] == uri
    assert "OPTION_ENABLE_LORA" not in container["Environment"]
    with pytest.raises(InvalidRequest, match="weights of its own"):
        platform.deployments.deploy_model(A, name, Wish(kind="shared", name="x"))


def test_the_engine_takes_adapters_of_every_rank_that_can_be_trained(platform: Platform) -> None:
    made = platform.deployed(A, model_of(platform))
    environment = platform.sagemaker.container(made.host or "")["Environment"]
    ranks = next(row for row in HYPERPARAMETERS if row.name == "lora_rank")
    assert int(environment["OPTION_MAX_LORA_RANK"]) == ranks.maximum
    # vLLM's LoRAConfig refuses any other.
    assert ranks.maximum in (8, 16, 32, 64, 128, 256, 320, 512)


def test_a_region_that_keeps_one_instance_gets_its_way(platform: Platform) -> None:
    from tests.fakes import refusal

    platform.sagemaker.refusals["CreateEndpointConfig"] = refusal("ValidationException", "MinInstanceCount must be 1")
    made = platform.run_deployment(platform.deployments.deploy_model(A, BASE_MODEL, DEDICATED))
    variant = platform.sagemaker.serving["config", made.own_name]["ProductionVariants"][0]
    assert variant["ManagedInstanceScaling"]["MinInstanceCount"] == 1


def test_for_want_of_capacity_the_next_instance_type_is_tried_under_a_new_name(platform: Platform) -> None:
    platform.sagemaker.endpoint_failures["ml.g6.2xlarge"] = "CapacityError: Unable to provision"
    shared = platform.deployed(A, model_of(platform))
    own = platform.run_deployment(platform.deployments.deploy_model(A, BASE_MODEL, DEDICATED))
    for made in (shared, own):
        assert (made.status, made.instance_type) == ("active", "ml.g6.4xlarge")
    assert platform.sagemaker.names("endpoint") == sorted([shared.endpoint_name, own.endpoint_name])
    assert {name[-2:] for name in platform.sagemaker.names("endpoint")} == {"-2"}
    assert own.cost_per_hour == 1.654


@pytest.mark.parametrize("wish", [Wish(gpu_type="l4"), Wish(gpu_type="l4", kind="dedicated")])
def test_when_no_instance_type_is_left_the_deployment_fails_and_leaves_nothing(platform: Platform, wish: Wish) -> None:
    for kind in ("ml.g6.2xlarge", "ml.g6.4xlarge"):
        platform.sagemaker.endpoint_failures[kind] = "CapacityError: Unable to provision"
    made = platform.run_deployment(platform.deployments.deploy_model(A, model_of(platform), wish))
    assert (made.status, (made.status_reason or {})["code"]) == ("failed", "deployment_failed")
    assert platform.sagemaker.serving == {}
    assert platform.events()[-1] == "deployment.failed"


def test_a_quota_that_is_used_up_counts_as_no_capacity(platform: Platform) -> None:
    from tests.fakes import refusal

    platform.sagemaker.refusals["CreateEndpoint"] = refusal("ResourceLimitExceeded", "The account-level limit is 0.")
    made = platform.run_deployment(platform.deployments.deploy_model(A, BASE_MODEL, DEDICATED))
    assert made.instance_type == "ml.g6.4xlarge"


def test_a_bad_adapter_fails_alone(platform: Platform) -> None:
    good = platform.deployed(A, model_of(platform))
    made = platform.deployments.deploy_model(A, model_of(platform))
    platform.sagemaker.component_failures[made.own_name] = "The adapter cannot be loaded."
    failed = platform.run_deployment(made)
    assert failed.status == "failed"
    assert "cannot be loaded" in (failed.status_reason or {})["message"]
    assert platform.sagemaker.names("component") == sorted([good.component_name, f"{good.host}-base"])
    host = platform.deployments.host(good)
    assert host is not None
    assert host.tenants == 1


def test_a_host_that_does_not_start_is_begun_anew_by_the_next_deployment(platform: Platform) -> None:
    name = model_of(platform)
    platform.sagemaker.component_failures["-base"] = "The container did not pass its health check."
    assert platform.deployed(A, name).status == "failed"
    assert platform.sagemaker.serving == {}
    platform.sagemaker.component_failures.clear()
    again = platform.deployed(A, name)
    assert (again.status, again.attempt) == ("active", 2)


def test_what_does_not_answer_its_probe_fails_and_leaves_nothing(platform: Platform) -> None:
    platform.runtime.refusal = None
    made = platform.deployments.deploy_model(A, BASE_MODEL, DEDICATED)
    platform.probe.failing = Unprocessable("wrong answers", code="deployment_failed")
    failed = platform.run_deployment(made)
    assert (failed.status_reason or {})["message"] == "wrong answers"
    assert platform.sagemaker.serving == {}
    assert platform.autoscaling.targets == {}


def test_a_failed_deployment_comes_back_with_other_settings_under_a_new_name(platform: Platform) -> None:
    name = model_of(platform)
    made = platform.deployments.deploy_model(A, name)
    platform.sagemaker.component_failures[made.own_name] = "No."
    assert platform.run_deployment(made).status == "failed"
    again = platform.run_deployment(platform.deployments.deploy_model(A, name, DEDICATED))
    assert (again.id, again.status, again.kind, again.attempt) == (made.id, "active", "dedicated", 2)
    host = platform.host_store.get(made.base_model, made.hardware)
    assert host is not None
    assert host.tenants == 0


@pytest.mark.parametrize("kind", ["shared", "dedicated"])
def test_a_deployment_that_somebody_removed_is_brought_up_again(platform: Platform, kind: str) -> None:
    name = model_of(platform)
    made = platform.run_deployment(platform.deployments.deploy_model(A, name, Wish(kind=kind)))
    del platform.sagemaker.serving["component", made.component_name]
    again = platform.deployments.deploy_model(A, name, Wish(kind=kind))
    assert (again.status, again.attempt) == ("deploying", 2)
    assert platform.run_deployment(again).status == "active"


def test_the_models_record_names_its_deployments(platform: Platform) -> None:
    name = model_of(platform)
    made = platform.deployed(A, name)
    assert platform.models.get(A, name).deployments == {
        made.id: {
            "name": name,
            "environment": "production",
            "status": "active",
            "workers": 1,
            "created_at": made.created_at,
        }
    }


def test_a_deployment_is_found_by_every_name_active_and_production_first(platform: Platform) -> None:
    name = model_of(platform)
    staging = platform.run_deployment(platform.deployments.deploy_model(A, name, Wish(environment="staging")))
    made = platform.deployments.deploy_model(A, name)
    assert platform.deployments.find("org_a", name) == staging
    production = platform.run_deployment(made)
    for called in (name, platform.models.get(A, name).id, production.id):
        assert platform.deployments.find("org_a", called) == production
    assert platform.deployments.find("org_a", BASE_MODEL) is None
    with pytest.raises(NotFound):
        platform.deployments.find("org_b", production.id)


def test_the_estimate_follows_what_was_measured(platform: Platform) -> None:
    from luthier import clock

    first = platform.deployments.deploy_model(A, model_of(platform))
    seconds = (clock.parse(first.estimated_ready_at or "") - platform.clock()).total_seconds()
    assert seconds == 300
    platform.clock.advance(seconds=100)
    platform.run_deployment(first)
    assert platform.history.expected_seconds(first.base_model, first.hardware, "shared", warm=False) == 100
    second = platform.deployments.deploy_model(A, model_of(platform))
    platform.clock.advance(seconds=10)
    assert platform.run_deployment(second).warm
    assert platform.history.expected_seconds(first.base_model, first.hardware, "shared", warm=True) == 10
    platform.history.record(first.base_model, first.hardware, "shared", warm=True, seconds=20)
    assert platform.history.expected_seconds(first.base_model, first.hardware, "shared", warm=True) == 13


def test_one_that_comes_back_on_other_hardware_leaves_its_old_host(platform: Platform) -> None:
    name = model_of(platform)
    made = platform.deployed(A, name)
    del platform.sagemaker.serving["component", made.component_name]
    again = platform.run_deployment(platform.deployments.deploy_model(A, name, Wish(gpu_type="a10g")))
    assert (again.status, again.hardware) == ("active", "gpu-a10g-24gb")
    tenants = {host.hardware: host.tenants for host in platform.host_store.awake()}
    assert tenants == {"gpu-l4-24gb": 0, "gpu-a10g-24gb": 1}


def test_what_is_slow_is_looked_at_less_often(platform: Platform) -> None:
    made = platform.deployments.deploy_model(A, BASE_MODEL)
    assert platform.deployment_pipeline.place("org_a", made.id, 1, MODEL_URI)["seconds"] == 5
    platform.clock.advance(minutes=3)
    assert platform.deployment_pipeline.place("org_a", made.id, 1, MODEL_URI)["seconds"] == 20


def test_a_deployment_that_changes_is_not_begun_anew(platform: Platform) -> None:
    name = model_of(platform)
    made = platform.run_deployment(platform.deployments.deploy_model(A, name, DEDICATED))
    asked = {"configuration": None, "scaling": None}
    changed = platform.deployments.update(A, made.id, workers=2, **asked)
    platform.sagemaker.serving.clear()
    assert platform.deployments.deploy_model(A, name) == changed
