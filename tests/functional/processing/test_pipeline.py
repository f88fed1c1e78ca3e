"""A processing's way through its state machine, whatever is cut off or repeated."""

import json
from typing import Any

import pytest

from luthier.errors import Conflict, NotFound
from luthier.processing.entity import Processing
from tests.factories import BASE_MODEL, MODEL_URI, Platform, principal
from tests.functional.processing import world

A = principal("org_a")
OUTPUT = {"evaluation.json": world.TABLE}


@pytest.fixture
def made(platform: Platform) -> Processing:
    """A processing that waits for its state machine: the evaluation of a model on an eval set."""
    world.eval_set(platform, A)
    [evaluation] = platform.evaluations.evaluate(A, world.model(platform, A).id, ["custom_eval_suite"])
    return evaluation.processing


def executions(platform: Platform) -> list[str]:
    return [started["name"] for started in platform.states.started if "processing" in started["stateMachineArn"]]


def test_it_starts_queued_and_its_machine_learns_what_it_needs(platform: Platform, made: Processing) -> None:
    assert made.status == "queued"
    assert executions(platform) == [f"{made.id.replace('_', '-')}-1"]
    assert json.loads(platform.states.started[-1]["input"]) == {
        "organization_id": "org_a", "processing_id": made.id, "attempt": 1, "base_model": BASE_MODEL,
    }  # fmt: skip


def test_the_job_reads_model_base_and_rows_and_writes_below_its_own_folder(
    platform: Platform, made: Processing
) -> None:
    asked = world.plan(platform, made)
    places = {channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in asked["channels"]}
    model = platform.models.find("org_a", made.subject)
    assert model is not None
    file = platform.datasets.referred("org_a", "custom_eval_suite.jsonl")
    assert file is not None
    assert places == {
        "base": MODEL_URI,
        "model": f"{model.artifact_uri}/",
        "validation": f"s3://luthier-data/org_a/files/{file.id}/",
    }
    assert asked["entrypoint"] == ["python", "-m", "trainer.evaluate"]
    assert asked["arguments"][:2] == ["--root", "/opt/ml"]
    assert asked["arguments"][-2:] == ["--max-examples", "100"]
    assert asked["output_uri"] == f"s3://luthier-artifacts/org_a/jobs/processing/{made.id}/"
    assert asked["instance_type"] == "ml.m5.xlarge"
    assert len(asked["training_job_name"]) <= 63


def test_a_name_is_stored_before_the_job_exists_and_a_repeated_step_takes_the_same(
    platform: Platform, made: Processing
) -> None:
    first, second = world.plan(platform, made), world.plan(platform, made)
    assert first == second
    running = world.fresh(platform, made)
    assert (running.status, running.training_job_name) == ("running", f"{made.id.replace('_', '-')}-1-1")


def test_a_job_that_exists_already_is_adopted(platform: Platform, made: Processing) -> None:
    world.launch(platform, made)
    taken = {"Error": "SageMaker.ResourceInUse", "Cause": "a job with this name already exists"}
    assert world.plan(platform, made, taken) == {"status": "wait", "seconds": 30}


def test_a_job_that_was_just_created_and_cannot_be_seen_yet_is_waited_for(platform: Platform, made: Processing) -> None:
    world.plan(platform, made)
    assert world.plan(platform, made, {"Error": "SageMaker.ResourceInUse", "Cause": ""})["status"] == "wait"


def test_its_result_completes_it_with_seconds_and_cost(platform: Platform, made: Processing) -> None:
    done = world.finish(platform, made, OUTPUT)
    assert (done.status, done.seconds, done.cost) == ("completed", 3600, 0.23)
    assert (done.result or {})["score"] == 85.2
    assert done.finished_at
    assert "processing.completed" in platform.events()


def test_settling_again_changes_nothing(platform: Platform, made: Processing) -> None:
    done = world.finish(platform, made, OUTPUT)
    assert world.settle(platform, made) == done
    assert platform.events().count("processing.completed") == 1


def test_a_completed_one_is_answered_and_not_run_again(platform: Platform, made: Processing) -> None:
    done = world.finish(platform, made, OUTPUT)
    [again] = platform.evaluations.evaluate(A, made.subject, ["custom_eval_suite"])
    assert again.processing == done
    assert len(executions(platform)) == 1


@pytest.mark.parametrize("refused", ["SageMaker.ResourceLimitExceeded", "SageMaker.ThrottlingException"])
def test_it_waits_for_quota_under_a_new_name_and_says_so(platform: Platform, made: Processing, refused: str) -> None:
    first = world.plan(platform, made)
    assert world.plan(platform, made, {"Error": refused, "Cause": "no"}) == {"status": "wait", "seconds": 120}
    waiting = world.fresh(platform, made)
    assert (waiting.status, (waiting.status_reason or {})["code"]) == ("queued", "no_capacity")
    assert world.plan(platform, made)["training_job_name"] != first["training_job_name"]
    assert world.fresh(platform, made).status_reason is None


def test_it_waits_for_capacity_that_sagemaker_had_promised(platform: Platform, made: Processing) -> None:
    described = world.launch(platform, made)
    described |= {"TrainingJobStatus": "Failed", "FailureReason": "CapacityError: Unable to provision"}
    assert world.plan(platform, made, {"Error": "States.TaskFailed"})["status"] == "wait"
    assert world.plan(platform, made)["training_job_name"].endswith("-1-2")


def test_why_the_container_failed_is_why_it_failed(platform: Platform, made: Processing) -> None:
    said = {"code": "bad_dataset", "message": "Row 3 has no answer.", "hint": "Correct it."}
    failed = world.fail(platform, made, f"AlgorithmError: {json.dumps(said)}, exit code: 1")
    assert (failed.status, failed.status_reason, failed.seconds) == ("failed", said, 60)
    assert "processing.failed" in platform.events()


def test_a_killed_container_is_not_told_to_change_its_batch_size(platform: Platform, made: Processing) -> None:
    reason = world.fail(platform, made, "AlgorithmError: , exit code: 137").status_reason or {}
    assert (reason["code"], "batchSize" in reason["hint"]) == ("killed", False)


@pytest.mark.parametrize(
    ("secondary", "code"), [("MaxRuntimeExceeded", "max_duration_exceeded"), ("Stopped", "stopped_outside")]
)
def test_a_job_that_was_stopped_is_a_failure(platform: Platform, made: Processing, secondary: str, code: str) -> None:
    failed = world.fail(platform, made, "", status="Stopped", SecondaryStatus=secondary)
    assert (failed.status_reason or {})["code"] == code


def test_an_error_before_the_job_is_the_reason(platform: Platform, made: Processing) -> None:
    said = json.dumps({"code": "gated_model", "message": "The hub refuses.", "hint": "Accept the licence."})
    failed = world.settle(platform, made, {"Error": "StepFailed", "Cause": json.dumps({"errorMessage": said})})
    assert (failed.status_reason or {})["code"] == "gated_model"


def test_a_job_that_leaves_nothing_is_a_failure(platform: Platform, made: Processing) -> None:
    failed = world.finish(platform, made, {"other.json": {}})
    assert (failed.status, (failed.status_reason or {})["code"]) == ("failed", "artifact_missing")
    assert failed.seconds == 3600


def test_a_failed_one_is_tried_again_by_the_next_wish_under_new_names(platform: Platform, made: Processing) -> None:
    world.fail(platform, made, "ClientError: no")
    [again] = platform.evaluations.evaluate(A, made.subject, ["custom_eval_suite"])
    assert (again.processing.id, again.processing.status, again.processing.attempt) == (made.id, "queued", 2)
    assert executions(platform) == [f"{made.id.replace('_', '-')}-{attempt}" for attempt in (1, 2)]
    done = world.finish(platform, again.processing, OUTPUT)
    assert (done.training_job_name or "").endswith("-2-1")
    assert done.seconds == 3660


def test_steps_of_an_attempt_that_is_over_do_nothing(platform: Platform, made: Processing) -> None:
    world.fail(platform, made, "ClientError: no")
    platform.evaluations.evaluate(A, made.subject, ["custom_eval_suite"])
    with pytest.raises(Conflict, match="no longer wanted"):
        world.plan(platform, made)
    assert world.settle(platform, made).attempt == 2


def test_a_model_that_is_gone_is_a_failure_that_names_it(platform: Platform, made: Processing) -> None:
    platform.dynamodb.delete_item(
        TableName="luthier", Key={"pk": {"S": "ORG#org_a"}, "sk": {"S": f"MODEL#{made.subject}"}}
    )
    with pytest.raises(NotFound, match="was removed"):
        world.plan(platform, made)


def sweep(platform: Platform) -> list[str]:
    platform.clock.advance(minutes=1)
    return platform.processing_pipeline.sweep()


def test_the_sweeper_starts_one_whose_machine_never_started(platform: Platform) -> None:
    platform.states.unavailable = True
    [evaluation] = platform.evaluations.evaluate(A, BASE_MODEL, [world.eval_set(platform, A)])
    platform.states.unavailable = False
    assert platform.processing_pipeline.sweep() == []
    assert sweep(platform) == [evaluation.processing.id]
    assert executions(platform) == [evaluation.processing.execution_name]


@pytest.mark.parametrize("ended", ["ABORTED", "FAILED", "TIMED_OUT", "SUCCEEDED"])
def test_the_sweeper_stops_what_runs_without_its_machine(platform: Platform, made: Processing, ended: str) -> None:
    name = world.launch(platform, made)["TrainingJobName"]
    platform.states.statuses[made.execution_name] = ended
    assert sweep(platform) == [made.id]
    assert platform.sagemaker.stopped == [name]
    failed = world.fresh(platform, made)
    assert (failed.status, (failed.status_reason or {})["code"]) == ("failed", "interrupted")
    assert sweep(platform) == []


def test_the_sweeper_takes_in_what_was_finished_without_its_machine(platform: Platform, made: Processing) -> None:
    described = world.launch(platform, made)
    described |= {"TrainingJobStatus": "Completed", "BillableTimeInSeconds": 60}
    folder = described["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://luthier-artifacts/")
    platform.put_artifact(f"{folder}evaluation.json", json.dumps(world.TABLE))
    platform.states.statuses[made.execution_name] = "ABORTED"
    sweep(platform)
    assert world.fresh(platform, made).status == "completed"


def test_the_sweeper_leaves_alone_what_its_machine_works_on(platform: Platform, made: Processing) -> None:
    world.launch(platform, made)
    assert sweep(platform) == []
    assert platform.sagemaker.stopped == []


def test_one_that_cannot_be_healed_does_not_hold_back_the_others(
    platform: Platform, made: Processing, monkeypatch: pytest.MonkeyPatch
) -> None:
    [other] = platform.evaluations.evaluate(A, BASE_MODEL, ["custom_eval_suite"])
    described = platform.sagemaker.describe_training_job
    world.launch(platform, made)
    broken = world.fresh(platform, made).training_job_name

    def describe(TrainingJobName: str) -> dict[str, Any]:
        if TrainingJobName == broken:
            raise OSError("the connection broke")
        return described(TrainingJobName)

    monkeypatch.setattr(platform.sagemaker, "describe_training_job", describe)
    for processing in (made, other.processing):
        platform.states.statuses[processing.execution_name] = "ABORTED"
    assert sweep(platform) == [other.processing.id]
