"""The versions of a line of models."""

import threading
from typing import Any

import pytest

from luthier.errors import Conflict, InvalidRequest, LuthierError, NotFound, Unprocessable
from luthier.idempotency import Repetition
from luthier.models.entity import Model
from tests.factories import Platform
from tests.functional.models.world import A, B, fresh, model


def add(platform: Platform, line: Model, job_id: str, version: str = "v1.1.0", **more: Any) -> Model:
    return platform.versions.add(A, line.id, version=version, training_job_id=job_id, **more)


def labels(platform: Platform, line: Model, **page: int) -> list[str]:
    found = platform.versions.page(A, line.id, **{"limit": 100, "offset": 0} | page)
    return [one.version for one in found.rows]


def test_a_model_is_the_first_version_of_its_own_line(platform: Platform) -> None:
    made = model(platform)
    assert (made.version, made.family) == ("v1.0.0", made.id)
    assert platform.versions.get(A, made.id, "1.0.0") == made
    assert labels(platform, made) == ["v1.0.0"]


def test_a_jobs_model_becomes_a_version_with_its_changelog(platform: Platform) -> None:
    first, second = model(platform), model(platform)
    made = add(platform, first, second.job_id, "1.1.0", description="better", changelog=["faster"])
    assert (made.id, made.version, made.family) == (second.id, "v1.1.0", first.id)
    assert (made.description, made.changelog) == ("better", ["faster"])
    assert labels(platform, second) == labels(platform, first) == ["v1.0.0", "v1.1.0"]
    assert platform.versions.get(A, second.name, "v1.0.0") == fresh(platform, first)


def test_versions_are_listed_in_semantic_order_page_by_page(platform: Platform) -> None:
    first = model(platform)
    for version in ("v1.10.0", "v2.0.0-rc.1", "v1.2.0", "v0.9.0"):
        add(platform, first, model(platform).job_id, version)
    expected = ["v0.9.0", "v1.0.0", "v1.2.0", "v1.10.0", "v2.0.0-rc.1"]
    assert labels(platform, first) == expected
    assert [label for offset in (0, 2, 4) for label in labels(platform, first, limit=2, offset=offset)] == expected


def test_a_version_is_never_given_twice(platform: Platform) -> None:
    first, second, third = model(platform), model(platform), model(platform)
    add(platform, first, second.job_id, "v1.1.0")
    for version in ("v1.0.0", "1.1.0"):
        with pytest.raises(Conflict) as refused:
            add(platform, first, third.job_id, version)
        assert (refused.value.code, refused.value.param) == ("version_exists", "version")
    assert fresh(platform, third) == third
    platform.retention.delete(A, second.id)
    with pytest.raises(Conflict, match="or had"):
        add(platform, first, third.job_id, "v1.1.0")
    assert labels(platform, first) == ["v1.0.0"]
    with pytest.raises(NotFound, match="no version"):
        platform.versions.get(A, first.id, "v1.1.0")


def test_of_two_jobs_that_want_a_version_at_once_one_gets_it(platform: Platform) -> None:
    first, jobs = model(platform), [model(platform).job_id for _ in range(2)]
    assert failures(platform, [(first, job, "v1.1.0") for job in jobs]) == ["version_exists"]
    assert labels(platform, first) == ["v1.0.0", "v1.1.0"]


def test_lines_that_grow_into_each_other_at_once_stay_whole(platform: Platform) -> None:
    first, second = model(platform), model(platform)
    failures(platform, [(first, second.job_id, "v2.0.0"), (second, first.job_id, "v2.0.0")])
    one, other = fresh(platform, first), fresh(platform, second)
    assert one.family == other.family
    assert labels(platform, first) == ["v1.0.0", "v2.0.0"]


def test_a_line_outlives_its_first_model(platform: Platform) -> None:
    first, second, third = model(platform), model(platform), model(platform)
    add(platform, first, second.job_id)
    platform.retention.delete(A, first.id)
    assert labels(platform, second) == ["v1.1.0"]
    add(platform, second, third.job_id, "v1.2.0")
    assert labels(platform, third) == ["v1.1.0", "v1.2.0"]
    with pytest.raises(Conflict) as refused:
        add(platform, second, model(platform).job_id, "v1.0.0")
    assert refused.value.code == "version_exists"


@pytest.mark.parametrize("status", ["queued", "failed"])
def test_a_job_that_has_not_completed_yields_no_version(platform: Platform, status: str) -> None:
    first = model(platform)
    job = platform.job(A) if status == "queued" else platform.failed(A)
    with pytest.raises(Conflict) as refused:
        add(platform, first, job.id)
    assert refused.value.details == {"current": status, "required": ["completed"]}


def test_a_job_whose_model_was_archived_or_deleted_yields_no_version(platform: Platform) -> None:
    first, archived, deleted = model(platform), model(platform), model(platform)
    platform.retention.archive(A, archived.id)
    platform.retention.delete(A, deleted.id)
    for job_id, current in ((archived.job_id, "archived"), (deleted.job_id, "deleted")):
        with pytest.raises(Conflict) as refused:
            add(platform, first, job_id)
        assert refused.value.details["current"] == current


def test_a_model_that_is_in_a_line_with_others_does_not_move(platform: Platform) -> None:
    one, other = model(platform), model(platform)
    add(platform, one, model(platform).job_id)
    for line, job in ((other, one.job_id), (one, one.job_id)):
        with pytest.raises(Conflict, match="already") as refused:
            add(platform, line, job, "v3.0.0")
        assert refused.value.details == {"modelId": one.id, "version": "v1.0.0"}


def test_an_archived_line_takes_no_version(platform: Platform) -> None:
    line, other = model(platform), model(platform)
    platform.retention.archive(A, line.id)
    with pytest.raises(Conflict) as refused:
        add(platform, line, other.job_id)
    assert refused.value.details == {"current": "archived", "required": ["ready", "deployed"]}
    assert fresh(platform, other) == other
    platform.retention.restore(A, line.id)
    assert add(platform, line, other.job_id).version == "v1.1.0"


def test_a_model_that_is_deployed_keeps_the_version_that_it_is_known_by(platform: Platform) -> None:
    first, second = model(platform), model(platform)
    made = platform.deployed(A, second.id)
    with pytest.raises(Conflict) as refused:
        add(platform, first, second.job_id)
    assert refused.value.details == {"current": "deployed", "required": ["ready"], "deployments": [made.id]}
    platform.run_deployment(platform.deployments.delete(A, made.id))
    assert add(platform, first, second.job_id).version == "v1.1.0"


def test_a_version_of_another_base_model_is_refused_naming_both(platform: Platform) -> None:
    first, other = model(platform), model(platform, base_model="llama-3.1-8b", hardware="gpu-l40s-48gb")
    with pytest.raises(Unprocessable) as refused:
        add(platform, first, other.job_id)
    assert refused.value.details == {"baseModel": "smollm2-135m-instruct", "jobBaseModel": "llama-3.1-8b"}


def test_what_is_not_there_or_anothers_is_not_found(platform: Platform) -> None:
    first = model(platform)
    theirs = platform.completed(B)
    for job_id in (theirs.id, "ftjob_none"):
        with pytest.raises(NotFound) as refused:
            add(platform, first, job_id)
        assert refused.value.param == "trainingJobId"
    with pytest.raises(NotFound, match="No model"):
        platform.versions.add(B, first.id, version="v1.1.0", training_job_id=theirs.id)
    with pytest.raises(InvalidRequest):
        add(platform, first, theirs.id, "latest")


def test_a_repeated_request_with_its_key_finds_the_version(platform: Platform) -> None:
    first, second = model(platform), model(platform)
    again = Repetition("key-1")
    one, two = (add(platform, first, second.job_id, repetition=again) for _ in range(2))
    assert one == two
    with pytest.raises(Unprocessable):
        add(platform, first, second.job_id, "v9.0.0", repetition=again)


def failures(platform: Platform, wanted: list[tuple[Model, str, str]]) -> list[str]:
    """Add all at once; the codes of those that were refused."""
    codes: list[str] = []

    def one(line: Model, job_id: str, version: str) -> None:
        try:
            add(platform, line, job_id, version)
        except LuthierError as error:
            codes.append(error.code)

    threads = [threading.Thread(target=one, args=arguments) for arguments in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return codes
