import json
import time
from datetime import UTC, datetime

import pytest

from luthier import clock
from luthier.errors import Conflict, NotFound
from luthier.jobs.entity import Job
from luthier.jobs.hyperparameters import HYPERPARAMETERS
from tests.factories import MODEL_URI, Platform, metrics_line, principal

A = principal()


def test_the_config_that_the_container_reads_is_complete(platform: Platform) -> None:
    asked = {"epochs": 2, "loraRank": 4, "targetModules": ["q_proj", "v_proj"]}
    wish = {"generate": False, "max_examples": 5, "max_new_tokens": 8}
    more = {"exports": ["merged", "onnx", "merged"], "evaluation": wish}
    job = platform.launched(A, hyperparameters=asked, suffix="v1", **more)
    key = f"org_a/jobs/{job.id}/1/config/job.json"
    config = json.loads(platform.s3.get_object(Bucket="luthier-data", Key=key)["Body"].read())
    rows = {row.name for row in HYPERPARAMETERS} - {"seed", "beta"}
    assert set(config["hyperparameters"]) == rows
    named = ("epochs", "lora_rank", "lora_alpha", "target_modules")
    assert [config["hyperparameters"][name] for name in named] == [2, 4, 8, ["q_proj", "v_proj"]]
    assert (config["seed"], config["method"], config["start_from"]) == (42, "sft", None)
    assert config["evaluation"] == wish | {"tasks": []}
    assert config["exports"] == ["merged", "onnx"]
    assert config["base_model"]["id"] == "smollm2-135m-instruct"
    assert "auto" not in json.dumps(config)


def test_rows_are_copied_so_that_a_deleted_file_does_not_matter(platform: Platform) -> None:
    job = platform.launched(A)
    platform.datasets.delete(A, job.training_dataset)
    key = f"org_a/jobs/{job.id}/1/train/train.jsonl"
    assert platform.s3.head_object(Bucket="luthier-data", Key=key)["ContentLength"] > 0


def test_a_step_that_runs_twice_changes_nothing_more(platform: Platform) -> None:
    job = platform.job(A)
    platform.pipeline.prepare_dataset(platform.step(job))
    before = platform.fresh(job)
    platform.pipeline.prepare_dataset(platform.step(job))
    assert platform.fresh(job) == before


def test_each_launch_has_its_own_name_and_takes_the_next_instance_type(platform: Platform) -> None:
    job = platform.job(A, base_model="llama-3.1-8b")
    step = platform.step(job)
    platform.pipeline.prepare_dataset(step)
    plans = [platform.pipeline.plan_launch(step, model_uri=MODEL_URI, max_runtime_seconds=7200) for _ in range(2)]
    assert [plan["training_job_name"][-2:] for plan in plans] == ["-1", "-2"]
    assert {channel["ChannelName"] for channel in plans[0]["channels"]} == {"config", "model", "train"}


def test_waiting_for_capacity_shows_as_queued_with_the_reason(platform: Platform) -> None:
    job = platform.launched(A)
    platform.training_job(job, "Failed", FailureReason="CapacityError: no instances")
    assert platform.pipeline.assess_training(platform.step(job), None) == "no_capacity"
    waiting = platform.fresh(job)
    assert (waiting.status, (waiting.status_reason or {})["code"]) == ("queued", "no_capacity")


def test_a_completed_run_becomes_a_model_with_three_names(platform: Platform) -> None:
    job = platform.completed(A, suffix="support-v1")
    assert job.status == "completed"
    assert job.result_model == "smollm2-135m-instruct-support-v1"
    model = platform.models.get(A, job.result_model)
    assert [platform.models.get(A, name).id for name in (*model.names, model.id)] == [model.id] * 4
    assert platform.events() == ["training.queued", "model.registered", "training.completed"]


def test_a_suffix_used_again_leaves_the_first_name_where_it_was(platform: Platform) -> None:
    first, second = platform.completed(A, suffix="v1"), platform.completed(A, suffix="v1")
    assert second.result_model == f"{first.result_model}-2"
    assert platform.models.get(A, first.result_model or "").job_id == first.id


def test_registering_twice_yields_one_model(platform: Platform) -> None:
    job = platform.launched(A)
    platform.training_job(job, "Completed")
    platform.put_artifact(f"org_a/jobs/{job.id}/m/model_card.json", "{}")
    names = {platform.pipeline.register_model(platform.step(job)) for _ in range(2)}
    assert len(names) == 1
    assert len(platform.models.newest(A)) == 1


def test_a_run_that_left_no_model_card_fails_with_a_reason(platform: Platform) -> None:
    job = platform.launched(A)
    platform.training_job(job, "Completed")
    with pytest.raises(NotFound) as refused:
        platform.pipeline.register_model(platform.step(job))
    assert refused.value.code == "artifact_missing"


def test_billed_seconds_become_cost(platform: Platform) -> None:
    assert platform.completed(A).cost["accrued"] == pytest.approx(0.23)


def test_a_failed_run_says_why_and_whether_it_can_resume(platform: Platform) -> None:
    job = platform.launched(A)
    platform.put_artifact(f"org_a/jobs/{job.id}/checkpoints/1/checkpoint-20/adapter.safetensors", "x")
    platform.put_artifact(f"org_a/jobs/{job.id}/checkpoints/1/checkpoint-100/adapter.safetensors", "x")
    platform.training_job(job, "Failed", FailureReason='{"code": "nan_loss", "message": "NaN", "hint": "Lower it."}')
    failed = platform.pipeline.settle(platform.step(job))
    assert failed.status_reason == {"code": "nan_loss", "message": "NaN", "hint": "Lower it."}
    assert failed.resumable == {"value": True, "reason": None, "from_checkpoint": 100}


def fails(platform: Platform, job: Job, reason: str, **said: object) -> dict:
    """The status reason of a run that left these words in its failure.json."""
    path = f"org_a/jobs/{job.id}/checkpoints/1/failure.json"
    platform.put_artifact(path, json.dumps({"attempt": job.attempt, "code": "nan_loss"} | said))
    platform.training_job(job, "Failed", FailureReason=reason)
    return platform.pipeline.settle(platform.step(job)).status_reason or {}


NAN = 'AlgorithmError: {"code": "nan_loss", "message": "NaN", "hint": "Lower it."}'


def test_a_failed_run_shows_its_evidence_and_a_change_to_try(platform: Platform) -> None:
    change = {"hyperparameters": {"learning_rate": 1e-4, "warmup_steps": 20, "unheard_of": 1}}
    lines = [f"line {number}" for number in range(30)]
    reason = fails(platform, platform.launched(A), NAN, evidence=lines, suggestion=change)
    assert reason["evidence"] == lines[-20:]
    assert reason["suggestion"] == {"hyperparameters": {"learningRate": 1e-4, "warmupSteps": 20}}
    assert (reason["code"], reason["message"], reason["hint"]) == ("nan_loss", "NaN", "Lower it.")


def test_the_runs_own_account_replaces_a_garbled_reason(platform: Platform) -> None:
    reason = fails(platform, platform.launched(A), "AlgorithmError: ", message="NaN at step 3", hint="h")
    assert (reason["code"], reason["message"], reason["hint"]) == ("nan_loss", "NaN at step 3", "h")


@pytest.mark.parametrize(
    "said",
    [{"attempt": 7, "evidence": ["x"]}, {"code": "oom", "evidence": ["x"]}, {"evidence": "x", "suggestion": [1]}],
)
def test_what_another_attempt_or_another_failure_said_is_left_out(platform: Platform, said: dict) -> None:
    assert set(fails(platform, platform.launched(A), NAN, **said)) == {"code", "message", "hint"}


def test_how_a_run_ended_is_shown_and_a_planned_end_still_yields_its_model(platform: Platform) -> None:
    job = platform.launched(A)
    result = {"attempt": 1, "ended": "early_stopped", "step": 7, "total_steps": 10}
    platform.put_artifact(f"org_a/jobs/{job.id}/checkpoints/1/result.json", json.dumps(result))
    completed = platform.complete(job)
    assert (completed.status, completed.ended, completed.status_reason) == ("completed", "early_stopped", None)


def test_lines_without_a_step_tell_of_a_phase_only(platform: Platform) -> None:
    job = platform.launched(A)
    seen = platform.watcher.metrics_written(platform.write_metrics(job, {"phase": "preparing"}))
    assert seen is not None
    assert (seen.phase, seen.progress, platform.jobs.metrics(A, job.id)[1]) == ("preparing", None, None)
    more = metrics_line(3) | {"phase": "evaluating", "gradient_norm": 1.5, "rewards": {"margin": 0.1}}
    seen = platform.watcher.metrics_written(platform.write_metrics(job, {"phase": "preparing"}, more))
    assert seen is not None
    assert (seen.phase, (seen.progress or {})["step"]) == ("evaluating", 3)


def test_full_weights_and_exports_get_room_on_the_volume(platform: Platform) -> None:
    asked = {"base_model": "meta-llama/Llama-3.2-3B-Instruct"}

    def volume(**more: object) -> int:
        job = platform.job(A, **asked, **more)
        plan = platform.pipeline.plan_launch(platform.step(job), model_uri=MODEL_URI, max_runtime_seconds=9)
        return plan["volume_gb"]

    plain = volume()
    assert volume(exports=["merged", "onnx"]) == plain + 19
    assert volume(hyperparameters={"adapter": "full"}) == plain + 90


def test_a_restart_from_scratch_does_not_see_old_checkpoints(platform: Platform) -> None:
    job = platform.failed(A)
    platform.put_artifact(f"org_a/jobs/{job.id}/checkpoints/1/checkpoint-20/adapter.safetensors", "x")
    again = platform.jobs.restart(A, job.id, from_scratch=True)
    assert platform.storage.last_checkpoint(again) is None


def test_settling_an_earlier_attempt_changes_nothing(platform: Platform) -> None:
    job = platform.failed(A)
    again = platform.jobs.restart(A, job.id)
    assert platform.pipeline.settle(platform.step(job)) == again


def test_a_deleted_job_ends_its_pipeline(platform: Platform) -> None:
    job = platform.job(A)
    platform.job_store.delete(job)
    with pytest.raises(NotFound):
        platform.pipeline.prepare_dataset(platform.step(job))


def test_an_attempt_that_is_over_launches_nothing(platform: Platform) -> None:
    job = platform.failed(A)
    with pytest.raises(Conflict):
        platform.pipeline.plan_launch(platform.step(job), model_uri=MODEL_URI, max_runtime_seconds=7200)


def test_progress_makes_a_job_running_and_visible(platform: Platform) -> None:
    job = platform.launched(A)
    key = platform.write_metrics(job, metrics_line(1), metrics_line(2))
    running = platform.watcher.metrics_written(key)
    assert running is not None
    assert (running.status, running.phase, running.trained_tokens) == ("running", "training", 200)
    assert running.progress == {"percent": 20.0, "step": 2, "total_steps": 10, "seconds_remaining": 8}
    assert platform.events() == ["training.queued", "training.started"]


def test_sagemakers_state_changes_drive_the_phase(platform: Platform) -> None:
    job = platform.launched(A)
    phases = []
    for secondary in ("Starting", "Downloading", "Training", "Uploading"):
        changed = platform.watcher.training_job_changed(platform.training_job(job, "InProgress", secondary))
        phases.append((changed.status, changed.phase) if changed else None)
    assert phases == [
        ("preparing", "starting"),
        ("running", "downloading"),
        ("running", "training"),
        ("running", "uploading"),
    ]


def test_an_event_about_an_earlier_launch_is_ignored(platform: Platform) -> None:
    job = platform.launched(A)
    detail = platform.training_job(job, "InProgress", "Training") | {"TrainingJobName": "another-1-1"}
    assert platform.watcher.training_job_changed(detail) is None


def test_a_training_job_that_starts_after_the_stop_is_stopped(platform: Platform) -> None:
    job = platform.launched(A)
    stopping = platform.fresh(job).become("stopping", "2026-01-01T00:00:01Z")
    platform.job_store.save(platform.fresh(job), stopping)
    platform.watcher.training_job_changed(platform.training_job(job, "InProgress", "Starting"))
    assert platform.sagemaker.stopped == [job.training_job_name]


def test_the_sweeper_settles_a_job_whose_pipeline_died(platform: Platform) -> None:
    job = platform.launched(A)
    platform.training_job(job, "Failed", FailureReason='{"code": "interrupted", "message": "m", "hint": null}')
    platform.states.statuses[job.execution_name] = "ABORTED"
    assert platform.watcher.sweep() == [job.id]
    assert (platform.fresh(job).status_reason or {})["code"] == "interrupted"


def test_the_sweeper_leaves_healthy_jobs_alone(platform: Platform) -> None:
    platform.launched(A)
    platform.job(A)
    platform.clock.advance(hours=1)
    assert platform.watcher.sweep() == []


def test_the_curve_keeps_the_last_line_of_a_repeated_step(platform: Platform) -> None:
    job = platform.launched(A)
    platform.write_metrics(
        job, metrics_line(1), metrics_line(2, training_loss=9.0), metrics_line(2, training_loss=0.5),
        metrics_line(2, training_loss=None, validation_loss=0.7, phase="evaluating"),
    )  # fmt: skip
    _, curve = platform.jobs.metrics(A, job.id)
    assert curve is not None
    assert [(s["step"], s["training_loss"], s["validation_loss"]) for s in curve.steps] == [
        (1, 2.0, None),
        (2, 0.5, 0.7),
    ]


def test_a_half_written_metrics_line_is_left_for_later(platform: Platform) -> None:
    job = platform.launched(A)
    key = platform.write_metrics(job, metrics_line(1))
    body = platform.s3.get_object(Bucket="luthier-artifacts", Key=key)["Body"].read() + b'{"step": 2, "tr'
    platform.put_artifact(key, body.decode())
    _, curve = platform.jobs.metrics(A, job.id)
    assert curve is not None
    assert len(curve.steps) == 1


def test_the_next_estimate_uses_the_speed_that_a_finished_job_reached(platform: Platform) -> None:
    def estimate() -> dict:
        return platform.jobs.estimate(A, base_model="smollm2-135m-instruct", dataset_size=1000).basis

    assert estimate()["tokens_per_second_source"] == "formula"
    platform.completed(A)
    assert estimate()["tokens_per_second_source"] == "finished jobs"
    assert estimate()["tokens_per_second"] == 100


def test_a_training_job_that_outlives_its_stopped_job_is_stopped(platform: Platform) -> None:
    job = platform.failed(A)
    platform.watcher.training_job_changed(platform.training_job(job, "InProgress", "Training"))
    assert platform.sagemaker.stopped == [job.training_job_name]


def test_the_log_is_read_from_where_the_client_left_off(platform: Platform) -> None:
    job = platform.launched(A)
    group, stream = "/aws/sagemaker/TrainingJobs", f"{job.training_job_name}/algo-1-1"
    platform.logs.create_log_group(logGroupName=group)
    platform.logs.create_log_stream(logGroupName=group, logStreamName=stream)
    taken_in = int(time.time() * 1000)
    said = [clock.iso(datetime.fromtimestamp(taken_in / 1000 - age, UTC)) for age in (20, 10)]
    lines = [{"timestamp": at, "level": "info", "message": f"said at {at}"} for at in said]
    events = [{"timestamp": taken_in, "message": json.dumps(line)} for line in lines]
    platform.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    assert [line.timestamp for line in platform.jobs.logs(A, job.id)] == said
    assert [line.timestamp for line in platform.jobs.logs(A, job.id, since=said[0])] == said[1:]
