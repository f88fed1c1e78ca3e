"""A run cannot overspend: it pauses at its cap, and goes on from there once the cap is raised."""

import json

import pytest

from luthier.errors import Conflict, InvalidRequest
from luthier.jobs import budget
from luthier.jobs.entity import Job
from tests.factories import BASE_MODEL, MODEL_URI, Platform, metrics_line, principal
from tests.gateway import Gateway, api

__all__ = ["api"]

A = principal()
PER_SECOND = 0.23 / 3600


def config(platform: Platform, job: Job) -> dict:
    key = f"org_a/jobs/{job.id}/{job.attempt}/config/job.json"
    return json.loads(platform.s3.get_object(Bucket="luthier-data", Key=key)["Body"].read())


def at_its_cap(platform: Platform, job: Job, *, billed: int = 3000) -> Job:
    """The job after its container has ended the run because of the cap."""
    checkpoints = f"org_a/jobs/{job.id}/checkpoints/{job.series}"
    platform.put_artifact(f"{checkpoints}/checkpoint-7/adapter.safetensors", "x")
    result = {"attempt": job.attempt, "ended": "max_cost", "step": 7, "total_steps": 10}
    platform.put_artifact(f"{checkpoints}/result.json", json.dumps(result))
    platform.training_job(job, "Completed", BillableTimeInSeconds=billed)
    assert platform.pipeline.assess_training(platform.step(job), None) == "paused"
    return platform.pipeline.settle(platform.step(job))


def test_a_job_at_its_cap_is_paused_and_says_how_to_go_on(platform: Platform) -> None:
    paused = at_its_cap(platform, platform.launched(A, max_cost=0.2))
    assert (paused.status, (paused.status_reason or {})["code"]) == ("paused", "budget_reached")
    assert paused.resumable == {"value": True, "reason": None, "from_checkpoint": 7}
    assert paused.cost["accrued"] == pytest.approx(3000 * PER_SECOND, abs=1e-4)
    assert (paused.finished_at, paused.is_live) == (None, False)
    assert platform.events()[-1] == "training.paused"
    assert platform.jobs.stats(A).by_status == {"queued": 0, "paused": 1}


def test_the_container_may_spend_what_the_machines_start_leaves(platform: Platform) -> None:
    job = platform.launched(A, max_cost=0.2)
    limits = config(platform, job)["limits"]
    assert limits["price_per_second"] == pytest.approx(PER_SECOND)
    assert limits["max_cost"] == pytest.approx(0.2 - 181.6 * PER_SECOND, abs=1e-4)


def test_a_job_without_a_cap_has_none_in_its_container(platform: Platform) -> None:
    assert config(platform, platform.launched(A))["limits"]["max_cost"] is None


def test_sagemaker_ends_a_hanging_run_one_checkpoint_interval_after_its_cap(platform: Platform) -> None:
    job = platform.job(A, max_cost=0.2)
    longest = platform.pipeline.bound_run(platform.step(job))["max_runtime_seconds"]
    assert 0.2 < longest * PER_SECOND <= 0.2 + 300 * PER_SECOND


def test_a_run_that_sagemaker_ended_at_the_cap_is_paused_too(platform: Platform) -> None:
    job = platform.launched(A, max_cost=0.2)
    seconds = int(0.2 / PER_SECOND) + 180
    platform.training_job(job, "Stopped", "MaxRuntimeExceeded", BillableTimeInSeconds=seconds)
    assert platform.pipeline.assess_training(platform.step(job), None) == "stopped"
    assert (platform.pipeline.settle(platform.step(job)).status_reason or {})["code"] == "budget_reached"


def test_a_capped_run_that_finishes_in_time_yields_its_model(platform: Platform) -> None:
    job = platform.completed(A, max_cost=0.25)
    assert (job.status, job.cost["cap"]) == ("completed", 0.25)


def test_a_paused_job_goes_on_from_its_checkpoint_with_what_a_higher_cap_leaves(platform: Platform) -> None:
    paused = at_its_cap(platform, platform.launched(A, max_cost=0.2))
    again = platform.launch(platform.jobs.resume(A, paused.id, max_cost=0.5))
    assert (again.status, again.attempt, again.series, again.cost["cap"]) == ("preparing", 2, 1, 0.5)
    assert platform.storage.last_checkpoint(again) == 7
    left = 0.5 - paused.cost["accrued"] - 181.6 * PER_SECOND
    assert config(platform, again)["limits"]["max_cost"] == pytest.approx(left, abs=1e-3)
    assert platform.complete(again).cost["accrued"] == pytest.approx(6600 * PER_SECOND, abs=1e-3)


def test_the_cap_ending_of_an_earlier_attempt_does_not_pause_the_next(platform: Platform) -> None:
    paused = at_its_cap(platform, platform.launched(A, max_cost=0.2))
    again = platform.launch(platform.jobs.resume(A, paused.id, max_cost=2))
    platform.training_job(again, "Completed", BillableTimeInSeconds=100)
    assert platform.pipeline.assess_training(platform.step(again), None) == "completed"


@pytest.mark.parametrize("verb", ["resume", "restart"])
@pytest.mark.parametrize(("billed", "max_cost", "least"), [(3000, None, 0.21), (3000, 0.1, 0.21), (20, 0.2, 0.21)])
def test_a_job_at_its_cap_goes_on_only_with_a_higher_one_and_says_which(
    platform: Platform, verb: str, billed: int, max_cost: float | None, least: float
) -> None:
    paused = at_its_cap(platform, platform.launched(A, max_cost=0.2), billed=billed)
    with pytest.raises(InvalidRequest) as refused:
        getattr(platform.jobs, verb)(A, paused.id, max_cost=max_cost)
    assert (refused.value.code, refused.value.param) == ("max_cost_too_low", "maxCost")
    assert refused.value.details["least"] == least
    assert refused.value.sentence().endswith(" Send at least 0.21.")
    assert getattr(platform.jobs, verb)(A, paused.id, max_cost=least).status == "queued"


def test_the_least_cap_is_the_first_cent_that_leaves_a_step(platform: Platform) -> None:
    paused = at_its_cap(platform, platform.launched(A, max_cost=0.03), billed=270)
    assert paused.cost["accrued"] == pytest.approx(0.0173, abs=1e-4)
    with pytest.raises(InvalidRequest) as refused:
        platform.jobs.resume(A, paused.id)
    assert refused.value.details["least"] == 0.04


def test_a_job_that_was_paused_by_hand_keeps_its_cap(platform: Platform) -> None:
    job = platform.launched(A, max_cost=0.2)
    platform.jobs.pause(A, job.id)
    platform.training_job(job, "Stopped", BillableTimeInSeconds=60)
    platform.pipeline.settle(platform.step(job))
    assert platform.jobs.resume(A, job.id).cost["cap"] == 0.2


@pytest.mark.parametrize(("spent", "start", "least"), [(0.0, 0.0116, 0.02), (0.0173, 0.0116, 0.03), (0.0, 0.02, 0.03)])
def test_the_least_cap_is_the_next_cent(spent: float, start: float, least: float) -> None:
    assert budget.next_cent(spent + start) == least


def test_a_cap_below_the_price_of_a_start_is_refused_before_anything_is_written(platform: Platform) -> None:
    with pytest.raises(InvalidRequest, match="before the first step"):
        platform.job(A, max_cost=0.001)
    assert platform.jobs.stats(A).total == 0


def test_the_dearest_instance_type_is_what_a_cap_reckons_with(platform: Platform) -> None:
    job = platform.launched(A, base_model="llama-3.1-8b", hardware="gpu-l4-24gb", max_cost=20)
    assert config(platform, job)["limits"]["price_per_second"] == pytest.approx(1.654 / 3600)


def test_pausing_saves_a_checkpoint_first_and_is_safe_to_repeat(platform: Platform) -> None:
    job = platform.launched(A)
    assert [platform.jobs.pause(A, job.id).status for _ in range(2)] == ["pausing", "pausing"]
    assert platform.sagemaker.stopped[0] == job.training_job_name
    with pytest.raises(Conflict) as refused:
        platform.jobs.resume(A, job.id)
    assert refused.value.retry_after
    platform.training_job(job, "Stopped", BillableTimeInSeconds=60)
    paused = platform.pipeline.settle(platform.step(job))
    assert (paused.status, (paused.status_reason or {})["code"]) == ("paused", "paused_by_user")
    assert platform.jobs.pause(A, job.id).status == "paused"
    assert platform.jobs.resume(A, job.id).attempt == 2


def test_a_waiting_job_that_is_paused_launches_nothing(platform: Platform) -> None:
    job = platform.job(A)
    platform.jobs.pause(A, job.id)
    with pytest.raises(Conflict):
        platform.pipeline.plan_launch(platform.step(job), model_uri=MODEL_URI, max_runtime_seconds=7200)
    assert platform.pipeline.settle(platform.step(job)).status == "paused"


def test_a_paused_job_can_be_stopped_for_good_or_deleted(platform: Platform) -> None:
    stopped = platform.jobs.stop(A, at_its_cap(platform, platform.launched(A, max_cost=0.2)).id)
    assert (stopped.status, platform.events()[-1]) == ("stopped", "training.stopped")
    paused = at_its_cap(platform, platform.launched(A, max_cost=0.2))
    platform.jobs.delete(A, paused.id)
    assert platform.jobs.stats(A).total == 1


def test_an_ended_job_cannot_be_paused_nor_a_running_one_resumed(platform: Platform) -> None:
    with pytest.raises(Conflict):
        platform.jobs.pause(A, platform.completed(A).id)
    with pytest.raises(Conflict):
        platform.jobs.resume(A, platform.launched(A).id)


def test_every_surface_shows_a_paused_job_with_a_status_of_its_own(api: Gateway) -> None:
    paused = at_its_cap(api.platform, api.platform.launched(A, max_cost=0.2))
    shown = api.get(f"/v1/fine-tune/{paused.id}").json()
    assert (shown["status"], shown["statusReason"]["code"], shown["cost"]["cap"]) == ("paused", "budget_reached", 0.2)
    five = "/api/v1/fine-tuning"
    assert api.get(f"{five}/jobs/{paused.id}").json()["status"] == "stopped"
    assert [row["status"] for row in api.get(f"{five}/jobs?status=stopped").json()["jobs"]] == ["stopped"]
    assert api.get(f"{five}/jobs?status=stopped&baseModel={BASE_MODEL}").json()["count"] == 1
    counts = api.get(f"{five}/stats").json()
    assert (counts["stopped"], counts["total"]) == (1, 1)


def test_a_cap_is_raised_through_either_surface(api: Gateway) -> None:
    paused = at_its_cap(api.platform, api.platform.launched(A, max_cost=0.2))
    refused = api.post(f"/v1/fine-tune/{paused.id}/resume")
    assert (refused.status, refused.json()["error"]["code"]) == (400, "MAX_COST_TOO_LOW")
    assert api.post(f"/v1/fine-tune/{paused.id}/resume", {"maxCost": 1}).json()["status"] == "queued"
    assert api.post(f"/v1/fine-tune/{paused.id}/pause").json()["status"] == "paused"
    assert api.platform.pipeline.settle(api.platform.step(api.platform.fresh(paused))).status == "paused"
    assert api.post(f"/api/v1/fine-tuning/jobs/{paused.id}/restart?maxCost=2").json()["status"] == "queued"
    assert api.platform.fresh(paused).cost["cap"] == 2
    assert api.post(f"/v1/fine-tune/{paused.id}/stop").json()["status"] == "stopped"


def test_stopped_and_paused_jobs_are_listed_together_in_order(api: Gateway) -> None:
    dataset = api.platform.dataset(A).id
    ids = []
    for number in range(4):
        job = api.platform.job(A, training_dataset=dataset)
        (api.platform.jobs.pause if number % 2 else api.platform.jobs.stop)(A, job.id)
        api.platform.pipeline.settle(api.platform.step(job))
        ids.append(job.id)
    page = api.get("/api/v1/fine-tuning/jobs?status=stopped&limit=3").json()
    assert ([row["id"] for row in page["jobs"]], page["count"]) == (ids[:0:-1], 4)


def test_what_a_run_costs_is_shown_while_it_runs_and_exact_once_it_has_ended(api: Gateway) -> None:
    platform, job = api.platform, api.platform.launched(A)
    platform.watcher.training_job_changed(platform.training_job(job, "InProgress", "Downloading"))
    for half_hours in (1, 2):
        platform.clock.advance(minutes=30)
        platform.watcher.metrics_written(platform.write_metrics(job, metrics_line(half_hours)))
        for path in ("/v1/fine-tune", "/api/v1/fine-tuning/jobs"):
            accrued = api.get(f"{path}/{job.id}").json()["cost"]["accrued"]
            assert accrued == pytest.approx(half_hours * 1800 * PER_SECOND, abs=1e-4)
    ended = platform.complete(platform.fresh(job))
    assert (ended.cost["accrued"], ended.running_cost) == (pytest.approx(3600 * PER_SECOND, abs=1e-4), 0)
