"""A job whose rows lie elsewhere: the copy is stored with the job, or not at all."""

from collections.abc import Iterator
from dataclasses import replace

import moto
import pytest

from luthier import table
from luthier.accounts.entity import UNLIMITED
from luthier.errors import LuthierError
from tests.factories import SETTINGS, Platform, principal, rows

A = principal()
TRAIN, VALIDATION, PAIRS = "s3://theirs/train.jsonl", "s3://theirs/validation.jsonl", "s3://theirs/pairs.jsonl"


@pytest.fixture
def platform() -> Iterator[Platform]:
    """Work is paid from credits, and a bucket of somebody else is listed."""
    with moto.mock_aws():
        platform = Platform(replace(SETTINGS, billing="on", dataset_buckets="theirs"))
        platform.s3.create_bucket(Bucket="theirs")
        for address, content in (
            (TRAIN, rows()),
            (VALIDATION, rows(2)),
            (PAIRS, PAIR),
            ("s3://theirs/bad.jsonl", b"x"),
        ):
            platform.s3.put_object(Bucket="theirs", Key=address.rpartition("/")[2], Body=content)
        yield platform


PAIR = b'{"prompt": "p", "chosen": "c", "rejected": "r"}\n' * 3


def left(platform: Platform) -> tuple[list[str], list[str]]:
    """The kinds of items in the table, and the objects in the data bucket."""
    scanned = [table.decode(item) for item in platform.dynamodb.scan(TableName="luthier")["Items"]]
    kinds = sorted({item["sk"].split("#")[0] for item in scanned} - {"CREDITS", "LEDGER"})
    objects = platform.s3.list_objects_v2(Bucket=SETTINGS.data_bucket).get("Contents", [])
    return kinds, [entry["Key"].rpartition("/")[2] for entry in objects]


def test_the_copies_are_files_as_soon_as_the_job_is_queued(platform: Platform) -> None:
    platform.credits.grant("org_a", 10_000, "welcome")
    job = platform.job(A, training_dataset=TRAIN, validation_file=VALIDATION)
    assert platform.datasets.get(A, job.training_dataset).rows == 3
    assert platform.datasets.get(A, job.validation_dataset or "").filename == "validation.jsonl"
    assert sorted(left(platform)[1]) == ["train.jsonl", "validation.jsonl"]


@pytest.mark.parametrize(
    ("wish", "code"),
    [
        ({}, "insufficient_credits"),
        ({"max_cost": 0.01}, "max_cost_too_low"),
        ({"training_dataset": PAIRS}, "invalid_dataset"),
        ({"validation_file": "s3://theirs/nowhere.jsonl"}, "dataset_not_found"),
        ({"validation_file": PAIRS}, "invalid_dataset"),
    ],
)
def test_a_job_that_is_refused_leaves_no_copy_no_file_and_no_event(platform: Platform, wish: dict, code: str) -> None:
    with pytest.raises(LuthierError) as refused:
        platform.job(A, **{"training_dataset": TRAIN} | wish)
    assert refused.value.code == code
    assert left(platform) == ([], [])


def test_a_job_too_many_leaves_nothing_either(platform: Platform) -> None:
    platform.credits.grant("org_a", 10_000, "welcome")
    with pytest.raises(LuthierError) as refused:
        platform.job(principal(limits=replace(UNLIMITED, key_concurrent_jobs=0)), training_dataset=TRAIN)
    assert refused.value.code == "concurrent_jobs_exceeded"
    assert left(platform) == ([], [])


def test_a_copy_with_bad_lines_stays_for_its_report(platform: Platform) -> None:
    with pytest.raises(LuthierError) as refused:
        platform.job(A, training_dataset="s3://theirs/bad.jsonl")
    assert platform.datasets.report(A, refused.value.details["fileId"])["bad_lines"] == 1


def test_a_repeated_create_makes_one_job_with_one_copy(platform: Platform) -> None:
    platform.credits.grant("org_a", 10_000, "welcome")
    first, again = (platform.job(A, training_dataset=TRAIN, idempotency_key="k") for _ in range(2))
    assert first.id == again.id
    assert left(platform)[1] == ["train.jsonl"]
