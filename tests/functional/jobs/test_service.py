import pytest

from luthier import idempotency
from luthier.errors import Conflict, InvalidRequest, NotFound, Unprocessable
from luthier.jobs.entity import JobRequest
from tests.factories import BASE_MODEL, Platform, metrics_line, principal

A, B = principal("org_a"), principal("org_b")


def test_a_new_job_is_queued_counted_announced_and_started(platform: Platform) -> None:
    job = platform.job(A)
    assert job.status == "queued"
    assert platform.jobs.stats(A).by_status == {"queued": 1}
    assert platform.events() == ["training.queued"]
    assert [started["name"] for started in platform.states.started] == [job.execution_name]


def test_a_job_says_what_it_will_cost(platform: Platform) -> None:
    cost = platform.job(A).cost
    assert cost["estimate"] > 0
    assert cost["currency"] == "USD"


def test_a_refused_create_leaves_nothing_behind(platform: Platform) -> None:
    for wrong in ({"base_model": "lama"}, {"training_dataset": "nope"}, {"hyperparameters": {"epochs": 0}}):
        with pytest.raises((InvalidRequest, NotFound)):
            platform.job(A, **wrong)
    assert platform.jobs.stats(A).total == 0
    assert platform.states.started == []


def test_two_creates_with_one_key_make_one_job(platform: Platform) -> None:
    dataset = platform.dataset(A).id
    first = platform.job(A, idempotency_key="k", training_dataset=dataset)
    second = platform.job(A, idempotency_key="k", training_dataset=dataset)
    assert first.id == second.id
    assert platform.jobs.stats(A).total == 1
    assert len(platform.states.started) == 1


def test_a_key_used_with_another_body_is_refused(platform: Platform) -> None:
    dataset = platform.dataset(A).id
    platform.job(A, idempotency_key="k", training_dataset=dataset)
    with pytest.raises(Unprocessable) as refused:
        platform.job(A, idempotency_key="k", training_dataset=dataset, name="Other")
    assert refused.value.code == "idempotency_key_reused"


def test_a_key_is_forgotten_after_a_day(platform: Platform) -> None:
    dataset = platform.dataset(A).id
    first = platform.job(A, idempotency_key="k", training_dataset=dataset)
    platform.clock.advance(seconds=idempotency.EXPLICIT_SECONDS + 1)
    assert platform.job(A, idempotency_key="k", training_dataset=dataset).id != first.id


def test_keys_of_two_organizations_do_not_meet(platform: Platform) -> None:
    assert platform.job(A, idempotency_key="k").id != platform.job(B, idempotency_key="k").id


def test_a_client_that_repeats_itself_gets_its_first_job(platform: Platform) -> None:
    request = JobRequest("Tickets", BASE_MODEL, platform.dataset(A).id)
    first = platform.jobs.create(A, request)
    assert platform.jobs.create(A, request, retry_count=1).id == first.id


def test_two_equal_creates_without_a_key_are_two_jobs(platform: Platform) -> None:
    request = JobRequest("Tickets", BASE_MODEL, platform.dataset(A).id)
    assert platform.jobs.create(A, request).id != platform.jobs.create(A, request).id


def test_a_first_try_that_arrives_after_its_own_retry_finds_the_retrys_job(platform: Platform) -> None:
    request = JobRequest("Tickets", BASE_MODEL, platform.dataset(A).id)
    retried = platform.jobs.create(A, request, retry_count=1)
    assert platform.jobs.create(A, request).id == retried.id


def test_a_job_is_kept_when_the_pipeline_cannot_start_and_the_sweeper_starts_it(platform: Platform) -> None:
    platform.states.unavailable = True
    job = platform.job(A)
    platform.states.unavailable = False
    platform.clock.advance(minutes=1)
    assert platform.watcher.sweep() == [job.id]
    assert [started["name"] for started in platform.states.started] == [job.execution_name]


def test_another_organizations_job_does_not_exist(platform: Platform) -> None:
    job = platform.completed(A)
    for verb in (
        platform.jobs.get,
        platform.jobs.stop,
        platform.jobs.restart,
        platform.jobs.delete,
        platform.jobs.logs,
    ):
        with pytest.raises(NotFound):
            verb(B, job.id)


def test_stopping_asks_sagemaker_and_is_safe_to_repeat(platform: Platform) -> None:
    job = platform.launched(A)
    assert platform.jobs.stop(A, job.id).status == "stopping"
    assert platform.jobs.stop(A, job.id).status == "stopping"
    assert platform.sagemaker.stopped[0] == job.training_job_name


def test_a_job_that_has_not_launched_is_stopped_at_once_and_launches_nothing(platform: Platform) -> None:
    job = platform.job(A)
    assert platform.jobs.stop(A, job.id).status == "stopped"
    with pytest.raises(Conflict):
        platform.pipeline.prepare_dataset(platform.step(job))
    assert platform.pipeline.settle(platform.step(job)).status == "stopped"
    assert platform.jobs.stats(A).by_status == {"queued": 0, "stopped": 1}
    assert platform.jobs.restart(A, job.id).status == "queued"


def test_a_completed_job_cannot_be_stopped_or_restarted(platform: Platform) -> None:
    job = platform.completed(A)
    for verb in (platform.jobs.stop, platform.jobs.restart):
        with pytest.raises(Conflict) as refused:
            verb(A, job.id)
        assert refused.value.details["current"] == "completed"


def test_a_live_job_cannot_be_deleted(platform: Platform) -> None:
    job = platform.job(A)
    with pytest.raises(Conflict, match="deleted only when it is"):
        platform.jobs.delete(A, job.id)


def test_a_deleted_job_is_gone_and_counted_out_but_its_model_stays(platform: Platform) -> None:
    job = platform.completed(A)
    platform.jobs.delete(A, job.id)
    with pytest.raises(NotFound):
        platform.jobs.get(A, job.id)
    assert platform.jobs.stats(A).total == 0
    assert platform.models.get(A, job.result_model or "").job_id == job.id


def test_a_failed_job_restarts_as_its_next_attempt(platform: Platform) -> None:
    job = platform.failed(A)
    again = platform.jobs.restart(A, job.id)
    assert (again.status, again.attempt, again.status_reason) == ("queued", 2, None)
    assert platform.states.started[-1]["name"] == again.execution_name


def test_a_job_that_still_saves_its_checkpoint_says_when_to_come_back(platform: Platform) -> None:
    job = platform.launched(A)
    platform.jobs.stop(A, job.id)
    with pytest.raises(Conflict) as refused:
        platform.jobs.restart(A, job.id)
    assert refused.value.retry_after


def test_a_deleted_job_takes_its_rows_and_checkpoints_with_it_but_not_its_model(platform: Platform) -> None:
    job = platform.completed(A)
    platform.put_artifact(f"org_a/jobs/{job.id}/checkpoints/1/metrics.jsonl", "{}")
    platform.put_artifact(f"org_a/jobs/{job.id}/output/x/output/model/adapter.safetensors", "x")
    platform.jobs.delete(A, job.id)
    data = platform.s3.list_objects_v2(Bucket="luthier-data", Prefix=f"org_a/jobs/{job.id}/")
    left = platform.s3.list_objects_v2(Bucket="luthier-artifacts", Prefix=f"org_a/jobs/{job.id}/")["Contents"]
    assert data["KeyCount"] == 0
    assert not any("checkpoints" in entry["Key"] for entry in left)
    assert any("adapter" in entry["Key"] for entry in left)


def test_a_restart_from_scratch_forgets_the_old_curve(platform: Platform) -> None:
    job = platform.launched(A)
    platform.watcher.metrics_written(platform.write_metrics(job, metrics_line(3)))
    platform.training_job(platform.fresh(job), "Failed", FailureReason="x")
    platform.pipeline.settle(platform.step(job))
    again = platform.jobs.restart(A, job.id, from_scratch=True)
    assert (again.progress, again.metrics, again.trained_tokens) == (None, None, None)
