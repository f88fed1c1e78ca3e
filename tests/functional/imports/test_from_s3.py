"""Models that lie in buckets of others: what is read of them, and what never is."""

from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from luthier import wiring
from luthier.errors import InvalidRequest, PayloadTooLarge
from luthier.imports.sources import ImportSources
from tests.factories import SETTINGS, Platform
from tests.functional.imports import world
from tests.functional.imports.world import ADAPTER, IMPORTS, MERGED, theirs
from tests.functional.processing import world as processing_world
from tests.gateway import Gateway

OURS = ("luthier-data", "luthier-base-models", "luthier-artifacts")


@pytest.fixture(autouse=True)
def _listed(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    wiring.reset()
    monkeypatch.setenv("LUTHIER_DATASET_BUCKETS", f"theirs, mine=org_a, {', '.join(OURS)}")


def sources(platform: Platform, s3: Any = None, buckets: str = "theirs") -> ImportSources:
    return ImportSources(s3 or platform.s3, replace(SETTINGS, dataset_buckets=buckets))


def refusal(api: Gateway, uri: str) -> dict[str, Any]:
    answer = api.post(IMPORTS, world.body({"type": "s3", "uri": uri}))
    assert answer.status == 400, answer.text
    assert answer.json()["details"]["field"] == "source.uri"
    return dict(answer.json())


@pytest.mark.parametrize(("files", "card"), [(ADAPTER, world.CARD), (MERGED, world.MERGED_CARD)])
def test_a_model_in_a_listed_bucket_is_checked_at_once(
    api: Gateway, files: dict[str, bytes], card: dict[str, Any]
) -> None:
    uri = theirs(api.platform, files | {"optimizer.pt": b"left out", "checkpoint-1/README.md": b"left out"})
    begun = world.begin(api, {"type": "s3", "uri": uri})
    assert (begun["status"], begun["uploads"]) == ("checking", [])
    assert begun["source"] == {"type": "s3", "uri": f"{uri}/", "files": [], "bytes": sum(map(len, files.values())) + 16}
    asked = processing_world.plan(api.platform, world.processing(api.platform, begun["id"]))
    source = next(channel for channel in asked["channels"] if channel["ChannelName"] == "source")
    assert source["DataSource"]["S3DataSource"]["S3Uri"] == f"{uri}/"
    assert world.adopted(api, begun["id"], card)["status"] == "completed"


def test_an_import_and_its_check_are_written_together(api: Gateway) -> None:
    uri = theirs(api.platform, ADAPTER)
    api.platform.states.unavailable = True
    begun = world.begin(api, {"type": "s3", "uri": uri})
    assert begun["status"] == "checking"
    assert world.processing(api.platform, begun["id"]).is_live


def test_equal_requests_with_one_key_check_a_model_once(api: Gateway) -> None:
    body = world.body({"type": "s3", "uri": theirs(api.platform, ADAPTER)})
    first, second = (api.post(IMPORTS, body, headers={"Idempotency-Key": "k"}).json() for _ in range(2))
    assert first == second
    assert len(api.platform.states.started) == 1


@pytest.mark.parametrize("bucket", ["unlisted", *OURS])
def test_a_bucket_that_nobody_listed_and_our_own_are_not_read(api: Gateway, bucket: str) -> None:
    stranger = api.caller("admin", organization_id="org_b")
    mine = world.begin(stranger)
    world.put(mine, ADAPTER)
    for place in (f".imports/org_b/{mine['id']}", "org_b/jobs/processing", "tiny"):
        assert refusal(api, f"s3://{bucket}/{place}")["details"]["reason"] == "bucket_not_listed"


def test_a_bucket_is_read_by_the_organizations_alone_that_it_is_listed_for(api: Gateway) -> None:
    uri = theirs(api.platform, ADAPTER, bucket="mine")
    assert world.begin(api, {"type": "s3", "uri": uri})["status"] == "checking"
    stranger = api.caller("admin", organization_id="org_b")
    assert refusal(stranger, uri)["details"]["reason"] == "bucket_not_listed"


@pytest.mark.parametrize(
    "uri",
    ["", "theirs/model", "https://theirs/model", "s3://", "s3:///model", "s3://theirs", "s3://theirs/", "s3://theirs//",
     "s3://theirs/a\x00b", f"s3://theirs/{'k' * 1_000}"],
)  # fmt: skip
def test_an_address_that_names_no_folder_is_refused(api: Gateway, uri: str) -> None:
    assert refusal(api, uri)["details"]["reason"] == "invalid_request"


def test_a_folder_whose_name_goes_on_is_another_folder(api: Gateway) -> None:
    theirs(api.platform, ADAPTER, prefix="models/tickets-2")
    assert refusal(api, "s3://theirs/models/tickets")["details"]["reason"] == "source_not_found"


def test_a_bucket_that_is_not_there_has_no_model(api: Gateway) -> None:
    assert refusal(api, "s3://theirs/models/tickets")["details"]["reason"] == "source_not_found"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"adapter_config.json": b"", "adapter_model.bin": b"x"}, "no_safetensors"),
        ({"config.json": b"", "pytorch_model.bin": b"x"}, "no_safetensors"),
        ({"adapter_config.json": b""}, "bad_import"),
        ({"below/adapter_config.json": b"", "below/adapter_model.safetensors": b""}, "bad_import"),
        ({"rows.jsonl": b"x"}, "bad_import"),
    ],
)
def test_a_folder_without_a_model_that_can_be_taken_is_refused(
    api: Gateway, files: dict[str, bytes], reason: str
) -> None:
    error = refusal(api, theirs(api.platform, files))
    assert error["details"]["reason"] == reason
    assert api.platform.states.started == []


def test_a_folder_of_more_objects_than_a_model_has_is_refused(platform: Platform) -> None:
    uri = theirs(platform, ADAPTER | {f"checkpoint-{number}/x": b"" for number in range(500)})
    with pytest.raises(PayloadTooLarge, match="more than 500 objects"):
        sources(platform).look("org_a", uri)


@pytest.mark.parametrize("operation", ["ListObjectsV2", "HeadObject"])
def test_a_denied_folder_prints_the_policy_to_add(platform: Platform, operation: str) -> None:
    uri = theirs(platform, ADAPTER)
    denying = boto3.client("s3")

    def deny(**_: Any) -> None:
        answer = {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
        raise ClientError(answer, operation)  # type: ignore[arg-type]

    denying.meta.events.register(f"before-call.s3.{operation}", deny)
    with pytest.raises(InvalidRequest) as refused:
        sources(platform, denying).look("org_a", uri)
    assert refused.value.code == "source_access_denied"
    statement = refused.value.details["bucketPolicyStatement"]
    assert "arn:aws:iam::123456789012:root" in statement
    assert statement in (refused.value.remedy or "")
