"""Files come in: directly, and by a presigned address."""

import hashlib
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from luthier.datasets.entity import PROCESSED, UPLOADED
from luthier.datasets.judging import SHOWN_FINDINGS
from luthier.datasets.service import DIRECT_BYTES, PUT_BYTES, PresignedUpload
from luthier.errors import Conflict, InvalidRequest, NotFound, PayloadTooLarge
from tests.functional.datasets.world import ACME, GOOD, OTHER, World


def begin(world: World, size: int = len(GOOD)) -> PresignedUpload:
    return world.service.begin_upload(ACME, filename="train.jsonl", bytes=size, purpose="fine-tune")


def test_a_good_file_is_processed_at_once(world: World) -> None:
    dataset = world.upload()
    assert dataset.id.startswith("file-")
    assert (dataset.status, dataset.rows, dataset.format, dataset.bytes) == (PROCESSED, 2, "text", len(GOOD))
    assert dataset.created_at == "2026-09-01T12:00:00Z"
    assert world.service.get(ACME, dataset.id) == dataset
    assert world.keys() == [f"org_acme/files/{dataset.id}/train.jsonl"]
    assert world.service.content(ACME, dataset.id).body == GOOD


def test_a_file_with_bad_lines_is_kept_with_its_findings(world: World) -> None:
    dataset = world.upload(content=b'{"text": "a"}\n{"text": ""}\n{\n')
    assert (dataset.status, dataset.rows, dataset.bad_lines, dataset.findings_count) == ("error", 1, 2, 2)
    assert dataset.counts == {"no_trained_token": 1, "invalid_json": 1}
    assert dataset.findings[0] | {"message": "", "fix": ""} == {
        "line": 2,
        "code": "no_trained_token",
        "pointer": "/text",
        "message": "",
        "fix": "",
        "level": "error",
    }
    assert dataset.status_details == "2 bad lines (no_trained_token 1, invalid_json 1)."
    assert world.service.get(ACME, dataset.id) == dataset


def test_a_file_with_warnings_only_is_processed(world: World) -> None:
    dataset = world.upload(content=b'{"text": "a"}\n{"text": "b"}\n{"text": "a"}\n')
    assert (dataset.status, dataset.status_details, dataset.rows, dataset.bad_lines) == (PROCESSED, None, 3, 0)
    assert (dataset.findings_count, dataset.warnings_count, dataset.counts) == (1, 1, {"duplicate_row": 1})
    assert (dataset.findings[0]["line"], dataset.findings[0]["level"]) == (3, "warning")
    assert world.service.resolve(ACME, dataset.id, param="file", imports=[]) == dataset


def test_errors_are_shown_before_warnings_and_alone_make_the_verdict(world: World) -> None:
    dataset = world.upload(content=b'{"text": "a"}\n' * (SHOWN_FINDINGS + 2) + b"{\n")
    assert dataset.status_details == "1 bad line (invalid_json 1)."
    assert (dataset.findings[0]["code"], dataset.findings[1]["code"]) == ("invalid_json", "duplicate_row")
    assert (dataset.findings_count, dataset.warnings_count) == (SHOWN_FINDINGS + 2, SHOWN_FINDINGS + 1)
    with pytest.raises(InvalidRequest, match=rf"Lines: {SHOWN_FINDINGS + 3}\.$"):
        world.service.resolve(ACME, dataset.id, param="file", imports=[])


def test_an_empty_file_is_kept_with_its_finding(world: World) -> None:
    assert world.upload(content=b"").status_details == "The file has no rows."


def test_the_report_holds_the_findings_that_the_file_does_not_show(world: World) -> None:
    dataset = world.upload(content=b"{\n" * 200)
    assert len(dataset.findings) == SHOWN_FINDINGS
    report = world.service.report(ACME, dataset.id)
    assert [finding["line"] for finding in report["findings"]] == list(range(1, 201))
    assert report["findings_count"] == 200


def test_a_small_report_comes_from_the_table_alone(world: World) -> None:
    dataset = world.upload(content=b"{\n")
    assert world.calls.made_by(lambda: world.service.report(ACME, dataset.id)) == ["GetItem"]


def test_odd_keys_in_rows_do_not_break_the_record(world: World) -> None:
    dataset = world.upload(content=json.dumps({"text": "a", "": 1, "\ud800": 2, "k" * 200: 3}).encode())
    assert world.service.get(ACME, dataset.id).ignored_keys == {"(empty)": 1, "?": 1, "k" * 80: 1}


def test_a_file_beyond_one_request_is_refused_naming_the_presigned_upload(world: World) -> None:
    with pytest.raises(PayloadTooLarge, match="one request takes 4500000") as caught:
        world.upload(content=b"x" * (DIRECT_BYTES + 1))
    assert "POST /v1/files/presigned" in (caught.value.remedy or "")
    assert world.keys() == []


@pytest.mark.parametrize("name", ["", "..", "a\nb.jsonl", "a\ud800.jsonl", "x" * 256, "data/"])
def test_a_name_that_is_no_file_name_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        world.upload(name=name)
    assert (caught.value.code, caught.value.param) == ("invalid_filename", "filename")


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("data/train.jsonl", "train.jsonl"),
        ("C:\\data\\train.jsonl", "train.jsonl"),
        ("größe #1.jsonl", "größe #1.jsonl"),
    ],
)
def test_only_the_last_part_of_a_path_is_kept(world: World, given: str, kept: str) -> None:
    dataset = world.upload(name=given)
    assert dataset.filename == kept
    assert world.service.content(ACME, dataset.id).body == GOOD


def test_another_purpose_is_refused(world: World) -> None:
    with pytest.raises(InvalidRequest, match="purpose: 'vision'") as caught:
        world.service.upload(ACME, filename="a.jsonl", purpose="vision", content=GOOD)
    assert caught.value.remedy == "Use fine-tune or evals or batch."


def test_nothing_stays_behind_when_the_table_refuses(world: World) -> None:
    world.dynamodb.delete_table(TableName=world.settings.table)
    with pytest.raises(world.dynamodb.exceptions.ResourceNotFoundException):
        world.upload()
    assert world.keys() == []


def test_a_large_file_goes_to_a_presigned_address_and_is_checked_when_complete(world: World) -> None:
    begun = begin(world)
    assert begun.dataset.status == UPLOADED
    assert begun.headers == {
        "Content-Type": "application/jsonl",
        "Content-Length": str(len(GOOD)),
        "If-None-Match": "*",
    }
    world.put(begun, GOOD)
    done = world.service.complete_upload(ACME, begun.dataset.id)
    assert (done.id, done.status, done.rows, done.status_details) == (begun.dataset.id, PROCESSED, 2, None)
    assert world.service.get(ACME, begun.dataset.id) == done
    assert world.service.resolve(ACME, "train.jsonl", param="file", imports=[]) == done


def test_the_address_binds_type_size_and_a_single_write(world: World) -> None:
    query = parse_qs(urlsplit(begin(world).url).query)
    assert query["X-Amz-SignedHeaders"] == ["content-length;content-type;host;if-none-match"]
    assert query["X-Amz-Expires"] == ["3600"]


def test_completing_twice_is_harmless(world: World) -> None:
    begun = begin(world)
    world.put(begun, GOOD)
    assert world.service.complete_upload(ACME, begun.dataset.id) == world.service.complete_upload(
        ACME, begun.dataset.id
    )


def test_completing_without_content_says_what_is_missing(world: World) -> None:
    dataset = begin(world).dataset
    with pytest.raises(Conflict, match="has not arrived") as caught:
        world.service.complete_upload(ACME, dataset.id)
    assert caught.value.code == "content_missing"


def test_a_file_deleted_while_it_is_checked_stays_deleted(world: World) -> None:
    begun = begin(world)
    world.put(begun, GOOD)
    world.before_next("TransactWriteItems", lambda: world.service.delete(ACME, begun.dataset.id))
    with pytest.raises(NotFound):
        world.service.complete_upload(ACME, begun.dataset.id)
    assert world.keys() == []


def test_of_two_clients_that_complete_an_upload_both_get_the_verdict(world: World) -> None:
    begun = begin(world)
    world.put(begun, GOOD)
    world.before_next("TransactWriteItems", lambda: world.service.complete_upload(ACME, begun.dataset.id))
    assert world.service.complete_upload(ACME, begun.dataset.id).status == PROCESSED


@pytest.mark.parametrize(("size", "error"), [(0, InvalidRequest), (PUT_BYTES + 1, PayloadTooLarge)])
def test_an_announced_size_out_of_range_is_refused(world: World, size: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        begin(world, size)
    assert world.items() == []


def test_the_content_of_an_awaited_file_cannot_be_read(world: World) -> None:
    dataset = begin(world).dataset
    for verb in (world.service.content, world.service.report):
        with pytest.raises(Conflict):
            verb(ACME, dataset.id)


def test_a_file_beyond_one_answer_is_given_by_its_address(world: World) -> None:
    content = b'{"text": "' + b"x" * 1_000_000 + b'"}\n'
    content *= 5
    begun = begin(world, len(content))
    world.put(begun, content)
    world.service.complete_upload(ACME, begun.dataset.id)
    found = world.service.content(ACME, begun.dataset.id)
    assert found.body is None
    assert "X-Amz-Signature" in found.url


def test_a_copy_is_made_inside_s3(world: World) -> None:
    dataset, bucket = world.upload(name="größe #1.jsonl"), world.settings.data_bucket
    made = world.calls.made_by(lambda: world.service.copy_to(dataset, bucket, "elsewhere/train.jsonl"))
    assert made == ["CopyObject"]
    assert world.s3.get_object(Bucket=bucket, Key="elsewhere/train.jsonl")["Body"].read() == GOOD


def test_organizations_do_not_see_each_others_files(world: World) -> None:
    dataset = world.upload()
    verbs = (
        world.service.get,
        world.service.delete,
        world.service.content,
        world.service.report,
        world.service.complete_upload,
    )
    for verb in verbs:
        with pytest.raises(NotFound):
            verb(OTHER, dataset.id)
    assert world.service.list(OTHER).items == []
    assert world.service.get(ACME, dataset.id) == dataset


def test_a_file_of_requests_is_measured_and_not_judged_as_rows(world: World) -> None:
    content = b'{"custom_id": "a"}\nnot json\n{"custom_id": "b"}'
    file = world.service.upload(ACME, filename="in.jsonl", purpose="batch", content=content)
    assert (file.status, file.rows, file.bytes, file.findings_count) == ("processed", 3, len(content), 0)
    assert file.sha256 == hashlib.sha256(content).hexdigest()


def test_nobody_uploads_what_only_a_batch_writes(world: World) -> None:
    with pytest.raises(InvalidRequest, match="batch_output"):
        world.service.upload(ACME, filename="a.jsonl", purpose="batch_output", content=GOOD)
