"""Files that come in parts."""

from dataclasses import replace
from hashlib import md5

import pytest

from luthier.datasets.entity import Dataset
from luthier.errors import InvalidRequest, LuthierError, NotFound, PayloadTooLarge
from luthier.idempotency import Repetition
from luthier.uploads.entity import MOST_BYTES, MOST_PARTS, PART_BYTES
from tests.functional.uploads.world import BUCKET, CONTENT, OTHER, PARTS, WHO, Meddled, World, lines


def test_parts_are_joined_in_the_order_of_completion(world: World) -> None:
    upload = world.begin()
    last, first, middle = world.add(upload, PARTS[2], PARTS[0], PARTS[1])
    done, file = world.service.complete(WHO, upload.id, part_ids=[first, middle, last])
    assert (done.status, file and file.id) == ("completed", done.file_id)
    assert file
    assert (file.status, file.rows, file.bytes) == ("processed", 9, len(CONTENT))
    assert world.read(file) == CONTENT


def test_the_file_is_what_the_same_bytes_in_one_request_are(world: World) -> None:
    content = lines(0, 2) + b"nonsense\n" + lines(0, 1)
    whole = world.datasets.upload(WHO, filename="train.jsonl", purpose="fine-tune", content=content)
    joined = world.completed([content[:20], content[20:]])
    same = replace(joined, id=whole.id, s3_key=whole.s3_key, upload_id=None, tries=0)
    assert same == whole
    assert whole.status == "error"
    assert world.events() == ["dataset.rejected"] * 2


def test_a_joined_file_is_found_by_its_name_and_can_be_trained_on(world: World) -> None:
    file = world.completed()
    assert world.datasets.resolve(WHO, "train", param="file", imports=[]) == world.fresh(file)


def test_nothing_but_the_file_is_left(world: World) -> None:
    file = world.completed()
    assert world.objects() == [file.s3_key]
    assert not world.platform.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads")


def test_what_goes_to_s3_is_as_large_as_s3_wants_and_never_all_of_it(world: World) -> None:
    sent: list[int] = []
    world.platform.s3.meta.events.register(
        "before-parameter-build.s3.UploadPart", lambda params, **_: sent.append(len(params["Body"]))
    )
    contents = [bytes([number]) * 3_000_000 for number in range(8)]
    file = world.completed(contents, purpose="batch")
    assert world.read(file) == b"".join(contents)
    assert sent == [9_000_000, 9_000_000, 6_000_000]


def test_an_upload_is_completed_once_however_often_it_is_asked_for(world: World) -> None:
    upload, parts = world.uploaded()
    first, again = (world.service.complete(WHO, upload.id, part_ids=parts) for _ in range(2))
    assert first == again
    assert len(world.datasets.list(WHO).items) == 1
    with pytest.raises(InvalidRequest, match="is completed") as refused:
        world.service.complete(WHO, upload.id, part_ids=parts[::-1])
    assert refused.value.code == "upload_not_pending"


def test_of_two_that_complete_an_upload_at_once_both_get_the_one_file(world: World) -> None:
    upload, parts = world.uploaded()
    others: list[Dataset | None] = []
    dynamodb = Meddled(
        world.platform.dynamodb,
        "transact_write_items",
        lambda: others.append(world.service.complete(WHO, upload.id, part_ids=parts)[1]),
    )
    _, mine = World(world.platform, dynamodb).service.complete(WHO, upload.id, part_ids=parts)
    assert [mine] == others
    assert len(world.datasets.list(WHO).items) == 1


def test_the_file_of_an_upload_that_was_deleted_is_not_told_of(world: World) -> None:
    upload, parts = world.uploaded()
    _, file = world.service.complete(WHO, upload.id, part_ids=parts)
    assert file
    world.datasets.delete(WHO, file.id)
    done, none = world.service.complete(WHO, upload.id, part_ids=parts)
    assert (done.status, none) == ("completed", None)


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_bytes_that_are_not_those_announced_are_refused_and_the_upload_goes_on(world: World, size: int) -> None:
    upload = world.begin(size)
    parts = world.add(upload, *PARTS)
    with pytest.raises(InvalidRequest, match=f"have {len(CONTENT)} bytes together; .* announced with {size}"):
        world.service.complete(WHO, upload.id, part_ids=parts)
    assert world.service.get(WHO, upload.id).status == "pending"
    assert world.datasets.list(WHO).items == []


def test_a_part_that_is_missing_unknown_repeated_or_anothers_is_named(world: World) -> None:
    (upload, parts), (_, foreign) = world.uploaded(), world.uploaded()
    theirs = world.begin(who=OTHER)
    (other,) = world.add(theirs, PARTS[0], who=OTHER)
    wrong: list[tuple[list[str], str]] = [
        ([], "part_ids"),
        (["part_x"] * (MOST_PARTS + 1), "part_ids"),
        (parts[:2], "part_ids"),
        ([*parts[:2], "part_nonsense"], "part_ids[2]"),
        ([*parts[:2], foreign[2]], "part_ids[2]"),
        ([other, *parts[1:]], "part_ids[0]"),
        ([parts[0], parts[0], parts[2]], "part_ids[1]"),
        ([f"../{theirs.id}/{other}"], "part_ids[0]"),
    ]
    for part_ids, param in wrong:
        with pytest.raises(InvalidRequest) as refused:
            world.service.complete(WHO, upload.id, part_ids=part_ids)
        assert (refused.value.code, refused.value.param) == ("invalid_parts", param)


def test_a_part_that_was_sent_twice_does_no_harm(world: World) -> None:
    upload = world.begin()
    first, _, middle, last = world.add(upload, PARTS[0], PARTS[0], *PARTS[1:])
    _, file = world.service.complete(WHO, upload.id, part_ids=[first, middle, last])
    assert file
    assert world.objects() == [file.s3_key]


def test_a_right_md5_is_taken_in_either_case(world: World) -> None:
    digest = md5(CONTENT).hexdigest()
    assert world.completed(md5=digest).status == world.completed(md5=digest.upper()).status == "processed"


def test_a_wrong_md5_makes_no_file_and_the_upload_can_be_mended(world: World) -> None:
    upload, parts = world.uploaded([b"{\n" * 60, *PARTS])
    digest = md5(CONTENT + b"{\n" * 60).hexdigest()
    with pytest.raises(InvalidRequest) as refused:
        world.service.complete(WHO, upload.id, part_ids=parts, md5=digest)
    assert (refused.value.code, refused.value.param) == ("md5_mismatch", "md5")
    assert world.datasets.list(WHO).items == []
    assert [key for key in world.objects() if not key.startswith(upload.folder)] == []
    _, file = world.service.complete(WHO, upload.id, part_ids=[*parts[1:], parts[0]], md5=digest)
    assert file
    assert world.objects() == [file.report_key, file.s3_key]


@pytest.mark.parametrize(("content", "error"), [(b"", InvalidRequest), (b"x" * (PART_BYTES + 1), PayloadTooLarge)])
def test_a_part_out_of_range_is_refused(world: World, content: bytes, error: type[LuthierError]) -> None:
    upload = world.begin()
    with pytest.raises(error) as refused:
        world.add(upload, content)
    assert refused.value.param == "data"
    assert world.objects() == []


def test_a_part_of_the_largest_size_is_taken(world: World) -> None:
    assert world.add(world.begin(PART_BYTES), b"x" * PART_BYTES)


def test_more_than_an_upload_takes_is_sent_to_the_presigned_address(world: World) -> None:
    with pytest.raises(PayloadTooLarge) as refused:
        world.begin(MOST_BYTES + 1)
    assert "/v1/files/presigned" in (refused.value.remedy or "")
    assert world.begin(MOST_BYTES).status == "pending"
    # What is named takes it.
    assert world.datasets.begin_upload(WHO, filename="a.jsonl", bytes=MOST_BYTES + 1, purpose="fine-tune").url


@pytest.mark.parametrize(
    ("wrong", "param"), [({"size": 0}, "bytes"), ({"purpose": "vision"}, "purpose"), ({"filename": ".."}, "filename")]
)
def test_a_file_that_could_not_be_is_refused_before_it_comes(world: World, wrong: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        world.begin(**wrong)  # type: ignore[arg-type]
    assert refused.value.param == param


def test_an_upload_that_is_announced_again_is_the_same(world: World) -> None:
    first, again = (world.begin(repetition=Repetition(None, retries)) for retries in (0, 1))
    assert first == again
    assert world.begin(repetition=Repetition(None, 0)).id != first.id


def test_a_cancelled_upload_is_over_and_its_parts_are_gone(world: World) -> None:
    upload, parts = world.uploaded()
    assert [world.service.cancel(WHO, upload.id).status for _ in range(2)] == ["cancelled"] * 2
    assert world.objects() == []
    with pytest.raises(InvalidRequest, match="is cancelled"):
        world.add(upload, b"x")
    with pytest.raises(InvalidRequest, match="is cancelled"):
        world.service.complete(WHO, upload.id, part_ids=parts)


def test_what_is_complete_cannot_be_cancelled(world: World) -> None:
    upload, parts = world.uploaded()
    world.service.complete(WHO, upload.id, part_ids=parts)
    with pytest.raises(InvalidRequest, match="is completed"):
        world.service.cancel(WHO, upload.id)
    assert world.datasets.list(WHO).items[0].status == "processed"


def test_after_an_hour_an_upload_has_expired(world: World) -> None:
    upload, parts = world.uploaded()
    world.clock.advance(minutes=59, seconds=59)
    world.add(upload, b"x")
    world.clock.advance(seconds=1)
    for verb in (lambda: world.add(upload, b"x"), lambda: world.service.complete(WHO, upload.id, part_ids=parts)):
        with pytest.raises(InvalidRequest, match="is expired") as refused:
            verb()
        assert refused.value.details["current"] == "expired"
    assert world.service.cancel(WHO, upload.id).status == "expired"
    assert world.objects() == []


def test_what_was_completed_in_time_does_not_expire(world: World) -> None:
    upload, parts = world.uploaded()
    world.service.complete(WHO, upload.id, part_ids=parts)
    world.clock.advance(hours=2)
    assert world.service.complete(WHO, upload.id, part_ids=parts)[0].status == "completed"


def test_organizations_do_not_see_each_others_uploads(world: World) -> None:
    upload, parts = world.uploaded()
    for verb in (
        lambda: world.service.get(OTHER, upload.id),
        lambda: world.add(upload, b"x", who=OTHER),
        lambda: world.service.complete(OTHER, upload.id, part_ids=parts),
        lambda: world.service.cancel(OTHER, upload.id),
    ):
        with pytest.raises(NotFound) as refused:
            verb()
        assert refused.value.code == "upload_not_found"
    assert len(world.objects()) == len(parts)
