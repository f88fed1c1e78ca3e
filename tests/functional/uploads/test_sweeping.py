"""What time does to files: large ones are checked, those whose time is over go."""

import hashlib

import pytest

from luthier.datasets import service as datasets
from luthier.errors import Conflict, InvalidRequest, NotFound
from luthier.uploads import service
from tests.factories import rows
from tests.functional.datasets.world import World as Presigned
from tests.functional.processing import world as processing
from tests.functional.uploads.world import CONTENT, WHO, Meddled, World

HOUR = 3600


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is one that no request can check."""
    for module in (datasets, service):
        monkeypatch.setattr(module, "AT_ONCE_BYTES", 1)


@pytest.mark.usefixtures("large")
def test_a_large_upload_is_completed_at_once_and_checked_by_the_sweeper(world: World) -> None:
    upload, parts = world.uploaded()
    done, file = world.service.complete(WHO, upload.id, part_ids=parts)
    assert file
    assert (done.status, file.status) == ("completed", "uploaded")
    assert file.status_details == "The content has arrived and is being checked."
    assert world.service.complete(WHO, upload.id, part_ids=parts) == (done, file)
    assert world.sweep() == {"checked": [file.id], "deleted": [], "kept": []}
    checked = world.fresh(file)
    assert (checked.status, checked.rows, checked.status_details) == ("processed", 9, None)
    assert world.read(file) == CONTENT
    assert world.objects() == [file.s3_key]
    assert world.sweep() == {"checked": [], "deleted": [], "kept": []}


def test_many_small_parts_are_the_sweepers_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_AT_ONCE_PARTS", 2)
    file = world.completed()
    assert file.status == "uploaded"
    world.sweep()
    assert world.fresh(file).rows == 9


@pytest.mark.usefixtures("large")
def test_a_file_that_is_being_checked_says_so_to_every_verb(world: World) -> None:
    file = world.completed()
    for verb in (world.datasets.content, world.datasets.report):
        with pytest.raises(Conflict, match="is being checked"):
            verb(WHO, file.id)
    with pytest.raises(InvalidRequest, match="is being checked") as refused:
        world.datasets.resolve(WHO, file.id, param="file", imports=[])
    assert refused.value.code == "dataset_not_ready"


@pytest.mark.usefixtures("large")
def test_a_wrong_md5_of_a_large_upload_stands_on_its_file(world: World) -> None:
    file = world.completed(md5="0" * 32)
    world.sweep()
    checked = world.fresh(file)
    assert checked.status == "error"
    assert checked.status_details
    assert hashlib.md5(CONTENT).hexdigest() in checked.status_details
    assert world.objects() == []
    assert world.events() == ["dataset.rejected"]


@pytest.mark.usefixtures("large")
def test_a_check_that_never_comes_through_is_given_up(world: World) -> None:
    upload, parts = world.uploaded()
    _, file = world.service.complete(WHO, upload.id, part_ids=parts)
    assert file
    world.platform.s3.delete_object(Bucket="luthier-data", Key=f"{upload.folder}{parts[1]}")
    good = world.completed()
    # It does not hold back the others.
    assert world.sweep()["checked"] == [good.id]
    assert world.sweep()["checked"] == []
    for _ in range(3):
        world.sweep(minutes=17)
    given_up = world.fresh(file)
    assert (given_up.status, given_up.unchecked) == ("error", False)
    assert "Upload the file again" in (given_up.status_details or "")
    assert world.objects() == [good.s3_key]


@pytest.mark.usefixtures("large")
def test_a_file_that_is_deleted_before_its_check_stays_away(world: World) -> None:
    file = world.completed()
    world.datasets.delete(WHO, file.id)
    assert world.sweep()["checked"] == []
    with pytest.raises(NotFound):
        world.fresh(file)


@pytest.mark.usefixtures("large")
def test_a_file_that_is_deleted_during_its_check_leaves_nothing(world: World) -> None:
    file = world.completed()
    s3 = Meddled(world.platform.s3, "complete_multipart_upload", lambda: world.datasets.delete(WHO, file.id))
    World(world.platform, s3=s3).sweep()
    assert world.objects() == []


@pytest.mark.usefixtures("large")
def test_a_large_file_that_was_put_to_its_address_is_checked_by_the_sweeper(world: World) -> None:
    begun = world.datasets.begin_upload(WHO, filename="a.jsonl", bytes=len(CONTENT), purpose="fine-tune")
    with pytest.raises(Conflict, match="has not arrived"):
        world.datasets.complete_upload(WHO, begun.dataset.id)
    Presigned.put(world, begun, CONTENT)  # type: ignore[arg-type]
    first, again = (world.datasets.complete_upload(WHO, begun.dataset.id) for _ in range(2))
    assert first == again
    assert (first.status, first.unchecked) == ("uploaded", True)
    assert world.sweep()["checked"] == [first.id]
    assert (world.fresh(first).status, world.fresh(first).rows) == ("processed", 9)


@pytest.mark.usefixtures("large")
def test_a_job_that_names_a_large_file_nobody_completed_has_it_checked(world: World) -> None:
    begun = world.datasets.begin_upload(WHO, filename="a.jsonl", bytes=len(CONTENT), purpose="fine-tune")
    Presigned.put(world, begun, CONTENT)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="is being checked"):
        world.datasets.resolve(WHO, begun.dataset.id, param="file", imports=[])
    world.sweep()
    assert world.datasets.resolve(WHO, begun.dataset.id, param="file", imports=[]).rows == 9


def test_a_file_goes_when_its_time_is_over(world: World) -> None:
    upload = world.datasets.upload(WHO, filename="a.jsonl", purpose="fine-tune", content=CONTENT, expires_after=HOUR)
    in_parts, kept = world.completed(expires_after=2 * HOUR), world.completed()
    assert (upload.expires_at, in_parts.expires_at, kept.expires_at) == (
        "2026-01-01T01:00:00Z",
        "2026-01-01T02:00:00Z",
        None,
    )
    assert world.sweep(minutes=59)["deleted"] == []
    assert world.sweep(seconds=61)["deleted"] == [upload.id]
    with pytest.raises(NotFound):
        world.fresh(upload)
    assert world.sweep(hours=1)["deleted"] == [in_parts.id]
    assert world.objects() == [kept.s3_key]
    assert world.sweep(hours=1) == {"checked": [], "deleted": [], "kept": []}


def test_the_time_of_a_joined_file_begins_when_it_is_completed(world: World) -> None:
    upload, parts = world.uploaded(expires_after=HOUR)
    world.clock.advance(minutes=30)
    _, file = world.service.complete(WHO, upload.id, part_ids=parts)
    assert file
    assert (file.created_at, file.expires_at) == ("2026-01-01T00:30:00Z", "2026-01-01T01:30:00Z")


@pytest.mark.usefixtures("large")
def test_a_file_that_expires_unchecked_goes_too(world: World) -> None:
    file = world.completed(expires_after=HOUR)
    assert world.sweep(hours=2)["deleted"] == [file.id]


def test_a_file_stays_while_a_job_uses_it(world: World) -> None:
    file = world.datasets.upload(WHO, filename="a.jsonl", purpose="fine-tune", content=rows(), expires_after=HOUR)
    job = world.platform.launched(WHO, training_dataset=file.id)
    other = world.datasets.upload(WHO, filename="b.jsonl", purpose="fine-tune", content=rows(), expires_after=HOUR)
    assert world.sweep(hours=2) == {"checked": [], "deleted": [other.id], "kept": [file.id]}
    assert world.fresh(file).expires_at == file.expires_at
    world.platform.complete(job)
    assert world.sweep(minutes=11)["deleted"] == [file.id]


def test_a_file_stays_while_a_job_that_uses_it_waits_for_its_start(world: World) -> None:
    file = world.datasets.upload(WHO, filename="a.jsonl", purpose="fine-tune", content=rows(), expires_after=HOUR)
    job = world.platform.job(WHO, training_dataset=file.id, auto_start=False)
    assert world.sweep(hours=2)["kept"] == [file.id]
    world.platform.jobs.stop(WHO, job.id)
    assert world.sweep(minutes=11)["deleted"] == [file.id]


def test_a_file_stays_while_a_model_is_judged_by_it(world: World) -> None:
    model = processing.model(world.platform, WHO)
    file = world.datasets.upload(WHO, filename="judge.jsonl", purpose="evals", content=rows(), expires_after=HOUR)
    [evaluation] = world.platform.evaluations.evaluate(WHO, model.id, [file.id])
    assert world.sweep(hours=2)["kept"] == [file.id]
    processing.finish(world.platform, evaluation.processing)
    assert world.sweep(minutes=11)["deleted"] == [file.id]


def test_the_sweeper_ends_what_a_request_has_begun_and_leaves_it_a_minute(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, parts = world.uploaded()
    with monkeypatch.context() as broken:
        broken.setattr(service.FileChecks, "check", lambda *_: (_ for _ in ()).throw(OSError("gone")))
        with pytest.raises(OSError, match="gone"):
            world.service.complete(WHO, upload.id, part_ids=parts)
    assert world.sweep(seconds=50)["checked"] == []
    [file] = world.sweep(seconds=20)["checked"]
    assert world.datasets.get(WHO, file).rows == 9
