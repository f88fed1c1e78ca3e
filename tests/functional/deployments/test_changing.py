"""Deployments after they came up: scaling, pausing, resuming, deleting, hosts without tenants, a new serving image."""

from dataclasses import replace

import pytest

from luthier.deployments.wishes import Wish
from luthier.errors import Conflict, InvalidRequest, NotFound
from tests.factories import BASE_MODEL, SETTINGS, Platform, principal

A, B = principal("org_a"), principal("org_b")
SLEEPY = Wish(scaling={"min_workers": 0, "max_workers": 3, "target_utilization": 0.5})


def up(platform: Platform, wish: Wish | None = None, who=A):
    name = platform.completed(who).result_model or ""
    return platform.run_deployment(platform.deployments.deploy_model(who, name, wish or Wish()))


def update(platform: Platform, deployment_id: str, **changes):
    asked = {"workers": None, "configuration": None, "scaling": None} | changes
    return platform.deployments.update(A, deployment_id, **asked)


def test_copies_follow_the_requests_at_once(platform: Platform) -> None:
    made = up(platform, Wish(scaling={"max_workers": 4}))
    target = platform.autoscaling.targets[f"inference-component/{made.own_name}-base"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 4)
    [policy] = target["policies"].values()
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    assert tracking["TargetValue"] == 14
    assert tracking["PredefinedMetricSpecification"]["PredefinedMetricType"].startswith("SageMakerInferenceComponent")
    assert platform.alarms.alarms == {}


def test_what_may_sleep_begins_awake_and_is_woken_by_a_request(platform: Platform) -> None:
    made = up(platform, SLEEPY)
    base = f"{made.own_name}-base"
    assert platform.sagemaker.serving["component", base]["RuntimeConfig"] == {"CopyCount": 1}
    target = platform.autoscaling.targets[f"inference-component/{base}"]
    assert target["MinCapacity"] == 0
    assert sorted(target["policies"]) == [f"{base}-load", f"{base}-wake"]
    # A request names the adapter; whichever component AWS counts the refusal for, it wakes the weights.
    for name in (base, made.own_name):
        alarm = platform.alarms.alarms[f"{name}-asleep"]
        assert alarm["MetricName"] == "NoCapacityInvocationFailures"
        assert alarm["Dimensions"] == [{"Name": "InferenceComponentName", "Value": name}]
        assert alarm["AlarmActions"][0].endswith(f"{base}-wake")


def test_changed_scaling_is_applied_by_the_state_machine(platform: Platform) -> None:
    made = up(platform, SLEEPY)
    changed = update(platform, made.id, scaling={"min_workers": 2})
    assert (changed.status, changed.updating, changed.workers) == ("active", True, 2)
    settled = platform.run_deployment(changed)
    assert (settled.status, settled.updating) == ("active", False)
    target = platform.autoscaling.targets[f"inference-component/{made.own_name}-base"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (2, 3)
    assert platform.alarms.alarms == {}
    assert platform.events().count("model.deployed") == 1


def test_a_fixed_number_of_workers_ends_the_scaling(platform: Platform) -> None:
    made = up(platform, SLEEPY)
    platform.run_deployment(update(platform, made.id, workers=3, unscaled=True))
    assert platform.autoscaling.targets == {}
    assert platform.alarms.alarms == {}
    base = platform.sagemaker.serving["component", f"{made.own_name}-base"]
    assert base["RuntimeConfig"] == {"CopyCount": 3}
    found = platform.deployments.get(A, made.id)
    assert (found.scaling, found.workers, found.cost_per_hour) == (None, 3, pytest.approx(3 * 1.222))


def test_workers_that_are_asked_for_are_there_before_the_load_decides(platform: Platform) -> None:
    made = up(platform, Wish(scaling={"max_workers": 8}))
    runtime = platform.sagemaker.serving["component", f"{made.own_name}-base"]
    settled = platform.run_deployment(update(platform, made.id, workers=4))
    assert (settled.workers, settled.copies, runtime["RuntimeConfig"]) == (4, None, {"CopyCount": 4})
    # The load asks for more meanwhile, which other bounds leave alone.
    runtime["RuntimeConfig"] = {"CopyCount": 6}
    platform.run_deployment(update(platform, made.id, scaling={"max_workers": 7}))
    assert runtime["RuntimeConfig"] == {"CopyCount": 6}


def test_another_configuration_holds_at_once(platform: Platform) -> None:
    made = up(platform, Wish(configuration={"max_tokens": 8, "top_p": 0.5}))
    changed = update(platform, made.id, configuration={"top_p": 1.0})
    assert (changed.configuration, changed.updating) == ({"max_tokens": 8, "top_p": 1.0}, False)


def test_a_default_is_taken_back_by_null(platform: Platform) -> None:
    made = up(platform, Wish(configuration={"max_tokens": 8, "top_p": 0.5}))
    assert update(platform, made.id, configuration={"top_p": None}).configuration == {"max_tokens": 8}


def test_a_change_that_sagemaker_refuses_leaves_what_answers(platform: Platform) -> None:
    made = up(platform, SLEEPY)
    platform.sagemaker.serving["component", f"{made.own_name}-base"]["Status"] = "Failed"
    settled = platform.run_deployment(update(platform, made.id, scaling={"max_workers": 5}))
    assert (settled.status, settled.updating) == ("active", False)
    assert (settled.status_reason or {})["code"] == "deployment_failed"


def test_a_shared_deployment_has_no_workers_to_change(platform: Platform) -> None:
    made = up(platform)
    with pytest.raises(Conflict, match="shared") as refused:
        update(platform, made.id, workers=2)
    assert refused.value.details == {"current": "shared", "required": ["dedicated"]}


@pytest.mark.parametrize(
    ("scaling", "workers", "field"),
    [({"min_workers": 5}, None, "scaling.minWorkers"), ({"max_workers": 2}, 3, "workers")],
)
def test_bounds_that_contradict_each_other_are_named(platform: Platform, scaling, workers, field: str) -> None:
    made = up(platform, Wish(scaling={"max_workers": 4}))
    with pytest.raises(InvalidRequest) as refused:
        update(platform, made.id, scaling=scaling, workers=workers)
    assert refused.value.param == field


@pytest.mark.parametrize("wish", [Wish(), Wish(kind="dedicated"), SLEEPY], ids=["shared", "dedicated", "sleepy"])
def test_pausing_removes_what_costs_money_and_resuming_brings_it_back(platform: Platform, wish: Wish) -> None:
    made = up(platform, wish)
    pausing = platform.deployments.pause(A, made.id)
    assert pausing.status == "pausing"
    assert platform.deployments.pause(A, made.id) == pausing
    paused = platform.run_deployment(pausing)
    assert paused.status == "paused"
    assert platform.deployments.pause(A, made.id) == paused
    assert [name for name in platform.sagemaker.names("component") if "-ep-" in name] == []
    assert not [name for name in platform.sagemaker.names("endpoint") if "-ep-" in name]
    assert platform.models.get(A, made.model_name).deployments[made.id]["status"] == "paused"
    resumed = platform.run_deployment(platform.deployments.resume(A, made.id))
    assert (resumed.status, resumed.scaling, resumed.attempt) == ("active", made.scaling, 2)
    assert platform.deployments.resume(A, made.id) == resumed
    assert platform.events()[-2:] == ["deployment.paused", "model.deployed"]


@pytest.mark.parametrize("wish", [Wish(), SLEEPY], ids=["shared", "sleepy"])
def test_deleting_leaves_nothing_and_the_same_can_be_deployed_again(platform: Platform, wish: Wish) -> None:
    made = up(platform, wish)
    deleting = platform.deployments.delete(A, made.id)
    assert platform.deployments.delete(A, made.id) == deleting
    platform.run_deployment(deleting)
    with pytest.raises(NotFound):
        platform.deployments.get(A, made.id)
    assert platform.events()[-1] == "deployment.deleted"
    assert platform.models.get(A, made.model_name).deployments == {}
    assert [name for _, name in platform.sagemaker.serving if "-ep-" in name] == []
    assert [name for name in platform.autoscaling.targets if "-ep-" in name] == []
    assert [name for name in platform.alarms.alarms if "-ep-" in name] == []
    platform.clock.advance(seconds=1)
    assert platform.deployed(A, made.model_name).status == "active"


def test_an_illegal_transition_names_both_states(platform: Platform) -> None:
    name = platform.completed(A).result_model or ""
    made = platform.deployments.deploy_model(A, name)
    with pytest.raises(Conflict) as refused:
        platform.deployments.pause(A, made.id)
    assert refused.value.details == {"current": "deploying", "required": ["active"]}
    platform.run_deployment(made)
    platform.deployments.pause(A, made.id)
    for verb in (platform.deployments.resume, lambda who, found: platform.deployments.deploy_model(who, name)):
        with pytest.raises(Conflict) as refused:
            verb(A, made.id)
        assert refused.value.details["current"] == "pausing"


def test_another_organizations_deployment_does_not_exist(platform: Platform) -> None:
    made = up(platform)
    for verb in (platform.deployments.get, platform.deployments.pause, platform.deployments.delete):
        with pytest.raises(NotFound):
            verb(B, made.id)
    assert platform.deployments.list(B) == []


def test_a_host_goes_when_it_was_without_tenants_for_a_while(platform: Platform) -> None:
    made = up(platform)
    platform.run_deployment(platform.deployments.delete(A, made.id))
    sweep(platform)
    assert platform.sagemaker.names("endpoint") == [made.host]
    platform.clock.advance(minutes=SETTINGS.host_idle_minutes)
    for _ in range(8):
        sweep(platform)
    assert platform.sagemaker.serving == {}
    assert platform.autoscaling.targets == {}
    assert list(platform.host_store.awake()) == []
    again = up(platform)
    assert (again.status, again.host) == ("active", f"{(made.host or '')[:-2]}-2")
    assert [host.tenants for host in platform.host_store.awake()] == [1]


def test_a_host_with_tenants_stays(platform: Platform) -> None:
    made = up(platform)
    platform.clock.advance(days=3)
    sweep(platform)
    assert platform.sagemaker.names("endpoint") == [made.host]


def test_a_tenant_that_comes_while_its_host_goes_gets_a_new_one(platform: Platform) -> None:
    made = up(platform)
    platform.run_deployment(platform.deployments.delete(A, made.id))
    platform.clock.advance(minutes=SETTINGS.host_idle_minutes)
    sweep(platform)
    later = up(platform)
    assert later.status == "active"
    assert platform.sagemaker.names("endpoint") == [later.host]


def test_a_new_serving_image_is_rolled_out_copy_by_copy_and_once(platform: Platform) -> None:
    made = up(platform)
    before = platform.sagemaker.container(made.host or "")["Image"]
    newer(platform)
    for _ in range(3):
        sweep(platform)
    assert platform.sagemaker.container(made.host or "")["Image"] != before
    assert platform.sagemaker.calls.count("UpdateInferenceComponent") == 1
    assert f"{made.host}-base-errors" in platform.alarms.alarms


def test_a_new_serving_image_that_aws_takes_back_is_not_tried_again(platform: Platform) -> None:
    made = up(platform)
    platform.sagemaker.rolls_back = True
    newer(platform)
    for _ in range(3):
        sweep(platform)
    second = up(platform)
    assert (second.status, second.host) == ("active", made.host)
    assert platform.sagemaker.calls.count("UpdateInferenceComponent") == 1


def test_a_dedicated_endpoint_gets_the_new_image_with_its_next_change(platform: Platform) -> None:
    made = up(platform, SLEEPY)
    newer(platform)
    platform.run_deployment(update(platform, made.id, scaling={"max_workers": 5}))
    assert platform.sagemaker.container(made.own_name)["Image"] == "image:2"
    platform.run_deployment(platform.deployments.delete(A, made.id))
    assert platform.sagemaker.names("model") == []


def newer(platform: Platform) -> None:
    platform._wire(replace(SETTINGS, serving_image="image:2"))


def sweep(platform: Platform) -> None:
    platform.deployment_pipeline.sweep()
    for kind, name in list(platform.sagemaker.serving):
        if kind == "component":
            platform.sagemaker.describe_inference_component(name)


def test_a_base_model_is_a_tenant_without_a_component_of_its_own(platform: Platform) -> None:
    made = platform.deployed(A, BASE_MODEL)
    assert platform.sagemaker.names("component") == [f"{made.host}-base"]
    platform.run_deployment(platform.deployments.delete(A, made.id))
    [host] = platform.host_store.awake()
    assert host.tenants == 0


@pytest.mark.parametrize("verb", ["archive", "delete"])
def test_what_failed_can_be_deleted_though_its_model_is_put_away(platform: Platform, verb: str) -> None:
    name = platform.completed(A).result_model or ""
    made = platform.deployments.deploy_model(A, name)
    platform.sagemaker.component_failures[made.own_name] = "The adapter cannot be loaded."
    assert platform.run_deployment(made).status == "failed"
    getattr(platform.retention, verb)(A, name)
    gone = platform.run_deployment(platform.deployments.delete(A, made.id))
    assert platform.deployment_store.get("org_a", gone.id) is None
