"""Whatever dies at whatever point of a run: it ends active, or cleanly failed with nothing left running."""

from collections.abc import Callable
from typing import Any

import pytest

from luthier.deployments.entity import Deployment
from luthier.deployments.wishes import Wish
from tests.deployment_machine import DeploymentMachine
from tests.factories import BASE_MODEL, Platform, principal

A = principal("org_a")


class Killed(BaseException):
    """The process is gone: nothing catches this."""


class Fragile:
    """A client whose process dies right after its nth call, once; `calls` counts those until then."""

    def __init__(self, client: Any, counter: "Counter") -> None:
        self._client = client
        self._counter = counter

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found) or name == "exceptions" or name.startswith(("describe_", "list_", "get_", "query")):
            return found

        def call(*arguments: Any, **request: Any) -> Any:
            answer = found(*arguments, **request)
            self._counter.count()
            return answer

        return call


class Counter:
    def __init__(self) -> None:
        self.left: int | None = None

    def count(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                self.left = None
                raise Killed


@pytest.fixture
def counter(platform: Platform) -> Counter:
    """The platform's changing calls, counted over everything that a deployment's run touches."""
    made = Counter()
    for name in ("sagemaker", "autoscaling", "alarms", "dynamodb"):
        setattr(platform, name, Fragile(getattr(platform, name), made))
    platform._wire(platform.settings)
    return made


def dies(platform: Platform, made: Deployment, after: int, counter: Counter) -> DeploymentMachine | None:
    """The run at the point where its process died after so many changes; None where it ended before."""
    machine = DeploymentMachine(platform.deployment_pipeline, made)
    counter.left = after
    try:
        while not machine.step():
            pass
    except Killed:
        return machine
    counter.left = None
    return None


def retried(platform: Platform, made: Deployment, machine: DeploymentMachine) -> None:
    """The function died: Step Functions calls it again."""
    while not machine.step():
        pass


def swept(platform: Platform, made: Deployment, machine: DeploymentMachine) -> None:
    """The execution died: the sweeper finds out."""
    platform.states.statuses[made.execution_name] = "ABORTED"
    platform.clock.advance(minutes=1)
    platform.deployment_pipeline.sweep()
    found = platform.deployment_store.get("org_a", made.id)
    if found and found.is_moving:
        assert platform.states.statuses[found.execution_name] == "RUNNING"
        platform.run_deployment(found)


def own(platform: Platform) -> list[str]:
    """What is left of deployments in AWS, hosts aside."""
    serving = [name for _, name in platform.sagemaker.serving]
    scaling = [*platform.autoscaling.targets, *platform.alarms.alarms]
    return [name for name in (*serving, *scaling) if "-ep-" in name]


@pytest.mark.parametrize("recover", [retried, swept])
@pytest.mark.parametrize(
    "wish", [Wish(), Wish(scaling={"min_workers": 0, "max_workers": 2})], ids=["shared", "dedicated"]
)
def test_a_deployment_survives_death_at_every_point(
    platform: Platform, counter: Counter, wish: Wish, recover: Callable[..., None]
) -> None:
    # Every second time for want of capacity on the first instance type.
    name, after, died = platform.completed(A).result_model or "", 0, True
    while died:
        after += 1
        types = {"ml.g6.2xlarge": "CapacityError: none"} if after % 2 else {}
        platform.sagemaker.endpoint_failures.update(types)
        made = platform.deployments.deploy_model(A, name, wish)
        machine = dies(platform, made, after, counter)
        died = machine is not None
        if machine:
            recover(platform, made, machine)
        found = platform.deployments.get(A, made.id)
        assert found.status == "active" or (found.status == "failed" and recover is swept)
        if found.status == "failed":
            assert own(platform) == [], after
        platform.run_deployment(platform.deployments.delete(A, made.id))
        assert own(platform) == [], after
        platform.clock.advance(minutes=31)
        for _ in range(8):
            platform.deployment_pipeline.sweep()
        assert platform.sagemaker.serving == {}, after
        platform.sagemaker.endpoint_failures.clear()
    assert after > (4 if wish.scaling is None else 8)
    assert [host.tenants for host in platform.host_store.awake()] == []


@pytest.mark.parametrize("recover", [retried, swept])
@pytest.mark.parametrize("verb", ["pause", "delete"])
def test_pausing_and_deleting_survive_death_at_every_point(
    platform: Platform, counter: Counter, verb: str, recover: Callable[..., None]
) -> None:
    name, after, died = platform.completed(A).result_model or "", 0, True
    wish = Wish(scaling={"min_workers": 0, "max_workers": 2})
    while died:
        after += 1
        platform.clock.advance(seconds=1)
        platform.run_deployment(platform.deployments.deploy_model(A, name, wish))
        found = platform.deployments.find("org_a", name)
        assert found is not None
        leaving = getattr(platform.deployments, verb)(A, found.id)
        machine = dies(platform, leaving, after, counter)
        died = machine is not None
        if machine:
            recover(platform, leaving, machine)
        left = platform.deployment_store.get("org_a", found.id)
        assert (left and left.status) == ("paused" if verb == "pause" else None)
        assert own(platform) == [], after


def test_a_deployment_that_is_deleted_while_it_comes_up_is_gone_in_the_end(platform: Platform) -> None:
    for steps in range(1, 14):
        platform.clock.advance(seconds=1)
        made = platform.deployments.deploy_model(A, BASE_MODEL, Wish(kind="dedicated"))
        machine, over = DeploymentMachine(platform.deployment_pipeline, made), False
        for _ in range(steps):
            over = over or machine.step()
        deleting = platform.deployments.delete(A, made.id)
        # One execution at a time works on a deployment: the one that runs turns round.
        assert (deleting.run == made.run) is not over
        if over:
            platform.run_deployment(deleting)
        else:
            retried(platform, made, machine)
        assert platform.deployment_store.get("org_a", made.id) is None
        assert platform.sagemaker.serving == {}


def test_a_goal_that_changes_within_a_step_is_seen_by_the_next(platform: Platform) -> None:
    made = platform.deployments.deploy_model(A, BASE_MODEL, Wish(kind="dedicated"))
    placement, asked = platform.deployment_pipeline._placement, []
    step = placement.step

    def late(deployment: Deployment, model_uri: str) -> str:
        if not asked:
            asked.append(platform.deployments.delete(A, made.id))
        return step(deployment, model_uri)

    placement.step = late  # type: ignore[method-assign]
    platform.run_deployment(made)
    assert platform.deployment_store.get("org_a", made.id) is None
    assert platform.sagemaker.serving == {}


def test_the_sweeper_starts_a_run_that_never_started(platform: Platform) -> None:
    platform.states.unavailable = True
    made = platform.deployments.deploy_model(A, BASE_MODEL)
    platform.states.unavailable = False
    platform.clock.advance(seconds=20)
    assert platform.deployment_pipeline.sweep() == []
    platform.clock.advance(seconds=20)
    assert platform.deployment_pipeline.sweep() == [made.id]
    assert platform.states.started[-1]["name"] == made.execution_name
    assert platform.deployment_pipeline.sweep() == []


def test_the_sweeper_ends_a_deployment_whose_execution_died(platform: Platform) -> None:
    made = platform.deployments.deploy_model(A, BASE_MODEL)
    platform.states.statuses[made.execution_name] = "ABORTED"
    platform.clock.advance(minutes=1)
    platform.deployment_pipeline.sweep()
    failing = platform.deployments.get(A, made.id)
    assert (failing.status, failing.goal, failing.run) == ("deploying", "failed", 2)
    failed = platform.run_deployment(failing)
    assert (failed.status, (failed.status_reason or {})["code"]) == ("failed", "interrupted")


def test_an_old_execution_that_wakes_up_changes_nothing(platform: Platform) -> None:
    made = platform.deployments.deploy_model(A, BASE_MODEL)
    old = DeploymentMachine(platform.deployment_pipeline, made)
    platform.states.statuses[made.execution_name] = "ABORTED"
    platform.clock.advance(minutes=1)
    platform.deployment_pipeline.sweep()
    retried(platform, made, old)
    assert platform.deployments.get(A, made.id).status == "deploying"
    assert platform.sagemaker.serving == {}


def lost(platform: Platform, *components: str) -> None:
    """SageMaker gives these up, a minute after the last thing that happened."""
    platform.clock.advance(minutes=1)
    for name in components:
        platform.sagemaker.serving["component", name]["Status"] = "Failed"


def test_every_tenant_of_a_host_that_died_is_brought_up_again_on_another(platform: Platform) -> None:
    made = [platform.deployed(who, platform.completed(who).result_model or "") for who in (A, principal("org_b"))]
    assert made[0].host == made[1].host
    lost(platform, made[0].base_component_name)
    assert sorted(platform.deployment_pipeline.sweep()) == sorted(one.id for one in made)
    for one in made:
        coming = platform.deployment_store.get(one.organization_id, one.id)
        assert coming
        assert (coming.status, (coming.status_reason or {})["code"]) == ("deploying", "interrupted")
        assert platform.states.statuses[coming.execution_name] == "RUNNING"
        again = platform.run_deployment(coming)
        assert (again.status, again.status_reason) == ("active", None)
        assert again.host != one.host
    assert not [name for _, name in platform.sagemaker.serving if name.startswith(made[0].host or "")]
    assert [host.tenants for host in platform.host_store.awake()] == [2]
    platform.clock.advance(minutes=1)
    assert platform.deployment_pipeline.sweep() == []


def test_an_adapter_that_is_lost_comes_back_and_leaves_its_neighbours_alone(platform: Platform) -> None:
    made, other = (
        platform.deployed(who, platform.completed(who).result_model or "") for who in (A, principal("org_b"))
    )
    platform.clock.advance(days=1)
    del platform.sagemaker.serving["component", made.own_name]
    assert platform.deployment_pipeline.sweep() == [made.id]
    assert platform.run_deployment(platform.deployments.get(A, made.id)).status == "active"
    assert platform.deployment_store.get("org_b", other.id) == other


def brought_back(platform: Platform, made: Deployment) -> Deployment:
    lost(platform, made.base_component_name)
    assert platform.deployment_pipeline.sweep() == [made.id]
    return platform.run_deployment(platform.deployments.get(A, made.id))


def test_what_is_lost_again_soon_after_it_was_brought_up_fails_and_says_so(platform: Platform) -> None:
    failed = brought_back(platform, brought_back(platform, up_alone(platform)))
    assert (failed.status, (failed.status_reason or {})["code"]) == ("failed", "deployment_failed")
    assert own(platform) == []
    assert platform.events().count("deployment.failed") == 1


def test_what_served_for_a_while_between_its_losses_comes_back_every_time(platform: Platform) -> None:
    made = up_alone(platform)
    for _ in range(3):
        made = brought_back(platform, made)
        assert made.status == "active"
        platform.clock.advance(minutes=16)


def test_a_deployment_that_is_resumed_has_no_losses_behind_it(platform: Platform) -> None:
    made = brought_back(platform, up_alone(platform))
    platform.run_deployment(platform.deployments.pause(A, made.id))
    resumed = platform.run_deployment(platform.deployments.resume(A, made.id))
    assert brought_back(platform, resumed).status == "active"


def test_deploying_again_heals_a_host_that_died_before_the_sweeper_comes(platform: Platform) -> None:
    made = platform.deployed(A, platform.completed(A).result_model or "")
    lost(platform, made.base_component_name)
    again = platform.run_deployment(platform.deployments.deploy_model(A, made.model_name))
    assert (again.status, again.host == made.host) == ("active", False)


def test_what_sleeps_is_not_lost(platform: Platform) -> None:
    made = up_alone(platform)
    platform.clock.advance(days=1)
    platform.sagemaker.serving["component", made.base_component_name]["RuntimeConfig"] = {"CopyCount": 0}
    assert platform.deployment_pipeline.sweep() == []


def up_alone(platform: Platform) -> Deployment:
    name = platform.completed(A).result_model or ""
    wish = Wish(scaling={"min_workers": 0, "max_workers": 2})
    return platform.run_deployment(platform.deployments.deploy_model(A, name, wish))
