import json
from typing import Any

import pytest

from luthier.jobs import entity, outcome
from tests.unit.jobs.test_lifecycle import a_job

FAILURE = 'AlgorithmError: {"code": "oom", "message": "No memory.", "hint": "Halve batchSize."}, exit code: 1'


@pytest.mark.parametrize(
    ("status", "verdict"),
    [("Completed", "completed"), ("InProgress", "running"), ("Stopped", "stopped"), ("Failed", "failed")],
)
def test_sagemakers_word_decides(status: str, verdict: str) -> None:
    assert outcome.verdict({"TrainingJobStatus": status}, None) == verdict


def test_a_quota_that_is_used_up_is_waited_for() -> None:
    error = {"Error": "SageMaker.ResourceLimitExceededException", "Cause": "The account-level limit is 0."}
    assert outcome.verdict(None, error) == "no_capacity"


def test_missing_capacity_is_waited_for_although_the_job_failed() -> None:
    described = {"TrainingJobStatus": "Failed", "FailureReason": "CapacityError: Unable to provision"}
    assert outcome.verdict(described, None) == "no_capacity"


def test_a_refused_launch_is_a_failure() -> None:
    assert outcome.verdict(None, {"Error": "SageMaker.AmazonSageMakerException", "Cause": "bad role"}) == "failed"


def test_the_containers_own_words_reach_the_user() -> None:
    end = outcome.ending(
        a_job(entity.RUNNING), {"TrainingJobStatus": "Failed", "FailureReason": FAILURE}, None, registered=False
    )
    assert end == outcome.Ending("failed", {"code": "oom", "message": "No memory.", "hint": "Halve batchSize."})


def test_a_stop_that_came_too_late_changes_nothing() -> None:
    end = outcome.ending(a_job(entity.STOPPING), {"TrainingJobStatus": "Completed"}, None, registered=True)
    assert end.status == "completed"


def test_a_stopped_run_was_stopped_by_its_user_or_by_its_time_limit() -> None:
    described = {"TrainingJobStatus": "Stopped", "SecondaryStatus": "MaxRuntimeExceeded"}
    assert outcome.ending(a_job(entity.STOPPING), described, None, registered=False).status == "stopped"
    end = outcome.ending(a_job(entity.RUNNING), described, None, registered=False)
    assert (end.status, (end.reason or {})["code"]) == ("failed", "max_duration_exceeded")


def test_a_steps_refusal_travels_through_the_state_machine() -> None:
    said = {"code": "dataset_not_found", "message": "It is gone.", "hint": "Upload it again."}
    cause = json.dumps({"errorType": "StepFailed", "errorMessage": json.dumps(said)})
    assert outcome.reason_of({"Error": "StepFailed", "Cause": cause}) == said


@pytest.mark.parametrize("error", [{}, {"Error": "States.Timeout"}, {"Error": "X", "Cause": "{broken"}])
def test_every_failure_has_a_code_and_a_message(error: dict[str, Any]) -> None:
    reason = outcome.reason_of(error)
    assert reason["code"]
    assert reason["message"]


def test_a_run_that_nobody_can_explain_says_so_and_can_be_restarted() -> None:
    end = outcome.ending(a_job(entity.PREPARING), None, None, registered=False)
    assert (end.reason or {})["code"] == "interrupted"


def test_a_killed_container_is_explained() -> None:
    described = {"TrainingJobStatus": "Failed", "FailureReason": "AlgorithmError: , exit code: 137"}
    end = outcome.ending(a_job(entity.RUNNING), described, None, registered=False)
    assert (end.reason or {})["code"] == "killed"
