import pytest

from luthier.jobs import entity
from luthier.jobs.entity import IllegalTransition, Job

NOW, LATER = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"


def a_job(status: str = entity.QUEUED, **changes: object) -> Job:
    known: dict = {
        "id": "ftjob_01k",
        "organization_id": "o",
        "owner": "u",
        "name": "n",
        "base_model": "b",
        "training_dataset": "file-1",
        "training_file": "t.jsonl",
        "hyperparameters": {},
        "created_at": NOW,
        "updated_at": NOW,
        "status": status,
    }
    return Job(**known | changes)


@pytest.mark.parametrize("status", entity.TERMINAL)
def test_an_ended_job_is_not_live(status: str) -> None:
    assert not a_job(status).is_live


def test_a_completed_job_never_changes_again() -> None:
    for status in entity.TRANSITIONS:
        with pytest.raises(IllegalTransition):
            a_job(entity.COMPLETED).become(status, LATER)


def test_every_live_status_can_be_stopped_and_can_fail() -> None:
    for status in (entity.QUEUED, entity.PREPARING, entity.RUNNING):
        assert a_job(status).become(entity.STOPPING, LATER).status == entity.STOPPING
        assert a_job(status).become(entity.FAILED, LATER).status == entity.FAILED


def test_every_change_is_one_version_later() -> None:
    assert a_job().become(entity.PREPARING, LATER).version == 2


def test_a_restart_continues_the_series_of_checkpoints() -> None:
    again = a_job(entity.FAILED, launch=3, training_job_name="x").next_attempt(LATER, from_scratch=False)
    assert (again.status, again.attempt, again.series, again.launch) == (entity.QUEUED, 2, 1, 0)
    assert again.training_job_name is None


def test_a_restart_from_scratch_opens_a_new_series() -> None:
    assert a_job(entity.STOPPED).next_attempt(LATER, from_scratch=True).series == 2


def test_training_job_names_are_never_used_twice_and_fit_sagemaker() -> None:
    first = a_job().next_launch(NOW)
    second = first.next_launch(LATER)
    assert first.training_job_name == "ftjob-01k-1-1"
    assert second.training_job_name == "ftjob-01k-1-2"
    assert "_" not in (second.training_job_name or "")


def test_users_see_six_statuses() -> None:
    shown = {a_job(status).shown_status for status in entity.TRANSITIONS}
    assert shown == {"queued", "running", "paused", "completed", "failed", "stopped"}
