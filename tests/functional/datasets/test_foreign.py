"""Datasets that lie elsewhere: in another bucket, or behind a URL. Real servers on this machine, one trick each."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from luthier import table
from luthier.datasets.entity import Dataset
from luthier.datasets.foreign import ForeignSources
from luthier.datasets.service import MAX_BYTES, DatasetService
from luthier.datasets.store import DatasetStore
from luthier.errors import InvalidRequest, LuthierError, PayloadTooLarge
from luthier.webhooks.address import Destinations
from tests.functional.datasets.world import ACME, GOOD, NOW, World


@pytest.fixture
def theirs(world: World) -> str:
    """A bucket of somebody else that the operator has listed."""
    bucket = f"{world.settings.data_bucket}-theirs"
    world.s3.create_bucket(Bucket=bucket)
    world.s3.put_object(Bucket=bucket, Key="tickets/train 1.jsonl", Body=GOOD, Metadata={"a": "b"}, Tagging="c=d")
    return bucket


def service(world: World, *, s3: Any = None, buckets: str = "", networks: str = "", **more: Any) -> DatasetService:
    settings = replace(world.settings, dataset_buckets=buckets, webhook_private_networks=networks)
    foreign = ForeignSources(s3 or world.s3, settings, Destinations(networks), **more)
    store = DatasetStore(world.dynamodb, settings.table)
    return DatasetService(store, world.s3, settings, lambda: NOW, foreign)


def imported(datasets: DatasetService, reference: str) -> Dataset:
    """The dataset that a request means, its copy stored as the request stores it."""
    with datasets.importing() as imports:
        dataset = datasets.resolve(ACME, reference, param="dataset", imports=imports)
        if imports:
            table.transact(datasets._store._client, datasets.writes(imports))
    return dataset


def refusal(datasets: DatasetService, reference: str, kind: type[LuthierError] = InvalidRequest) -> Any:
    with pytest.raises(kind) as refused:
        imported(datasets, reference)
    assert refused.value.param == "dataset"
    assert refused.value.remedy
    return refused.value


def test_an_object_of_a_listed_bucket_is_copied_checked_and_listed_as_a_file(world: World, theirs: str) -> None:
    datasets = service(world, buckets=f"other, {theirs}")
    dataset = imported(datasets, f"s3://{theirs}/tickets/train 1.jsonl")
    assert (dataset.filename, dataset.rows, dataset.status) == ("train 1.jsonl", 2, "processed")
    assert datasets.content(ACME, dataset.id).body == GOOD
    assert dataset.bytes == len(GOOD)
    world.s3.delete_object(Bucket=theirs, Key="tickets/train 1.jsonl")
    assert imported(datasets, dataset.id) == dataset
    assert imported(datasets, "train 1.jsonl") == dataset


@pytest.mark.parametrize("buckets", ["", "another", "."])
def test_a_bucket_that_nobody_listed_is_not_read(world: World, theirs: str, buckets: str) -> None:
    assert refusal(service(world, buckets=buckets), f"s3://{theirs}/tickets/train 1.jsonl").code == "bucket_not_listed"
    assert world.keys() == []


def test_a_bucket_is_read_by_the_organizations_alone_that_it_is_listed_for(world: World, theirs: str) -> None:
    address = f"s3://{theirs}/tickets/train 1.jsonl"
    mine = service(world, buckets=f"{theirs}=org_other, {theirs} = {ACME.organization_id}")
    assert imported(mine, address).rows == 2
    others = service(world, buckets=f"{theirs}=org_other")
    assert refusal(others, address).message == refusal(service(world), address).message


def test_our_own_buckets_are_never_read_even_when_listed(world: World) -> None:
    secret = world.upload()
    datasets = service(world, buckets=world.settings.data_bucket)
    assert refusal(datasets, f"s3://{world.settings.data_bucket}/{secret.s3_key}").code == "bucket_not_listed"


def test_an_object_that_is_not_there_is_named(world: World, theirs: str) -> None:
    refused = refusal(service(world, buckets=theirs), f"s3://{theirs}/nope.jsonl")
    assert refused.code == "dataset_not_found"
    assert "nope.jsonl" in refused.message


def test_bad_lines_of_a_foreign_object_are_named_and_stay_readable_as_a_report(world: World, theirs: str) -> None:
    world.s3.put_object(Bucket=theirs, Key="bad.jsonl", Body=GOOD + b"nonsense\n")
    datasets = service(world, buckets=theirs)
    refused = refusal(datasets, f"s3://{theirs}/bad.jsonl")
    assert refused.code == "invalid_dataset"
    assert datasets.report(ACME, refused.details["fileId"])["findings"][0]["line"] == 3


class Denying:
    """S3 that denies everything in one bucket, as it does until the owner's policy allows it."""

    def __init__(self, s3: Any, bucket: str, status: int = 403) -> None:
        self._s3, self._bucket, self._status = s3, bucket, status

    def __getattr__(self, name: str) -> Any:
        return getattr(self._s3, name)

    def head_object(self, **request: Any) -> Any:
        if request["Bucket"] == self._bucket:
            answer = {"Error": {"Code": str(self._status)}, "ResponseMetadata": {"HTTPStatusCode": self._status}}
            raise ClientError(answer, "HeadObject")
        return self._s3.head_object(**request)


def test_a_denied_object_prints_the_policy_to_add(world: World, theirs: str) -> None:
    datasets = service(world, buckets=theirs, s3=Denying(world.s3, theirs))
    refused = refusal(datasets, f"s3://{theirs}/tickets/train 1.jsonl")
    assert refused.code == "dataset_access_denied"
    statement = json.loads(refused.remedy.partition(": ")[2])
    assert statement["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert statement["Resource"] == [f"arn:aws:s3:::{theirs}", f"arn:aws:s3:::{theirs}/*"]
    assert "s3:GetObject" in statement["Action"]


def test_an_object_that_s3_will_not_give_is_the_clients_to_correct(world: World, theirs: str) -> None:
    datasets = service(world, buckets=theirs, s3=Denying(world.s3, theirs, status=400))
    refused = refusal(datasets, f"s3://{theirs}/encrypted with a key of its own.jsonl")
    assert (refused.code, "S3 answers 400" in refused.message) == ("dataset_not_downloaded", True)


@pytest.mark.parametrize("key", ["", "/", f"/{'k' * 1_025}"])
def test_an_address_that_names_no_object_is_refused(world: World, theirs: str, key: str) -> None:
    assert refusal(service(world, buckets=theirs), f"s3://{theirs}{key}").code == "dataset_not_found"


def test_an_object_above_the_limit_is_not_copied(world: World, theirs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.datasets.service.MAX_BYTES", 10)
    refused = refusal(service(world, buckets=theirs), f"s3://{theirs}/tickets/train 1.jsonl", PayloadTooLarge)
    assert refused.code == "file_too_large"
    assert world.keys() == []


class Trick(http.server.BaseHTTPRequestHandler):
    """What the paths do: /good serves rows, /to?URL redirects, /drip sends a byte now and then, …"""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/to":
            self.send_response(302)
            self.send_header("Location", query)
            self.end_headers()
            return
        self.send_response(404 if path == "/missing" else 200)
        length = {"/endless": MAX_BYTES * 2, "/torn": len(GOOD) + 5}.get(path, len(GOOD))
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if path == "/drip":
            for byte in GOOD:
                self.wfile.write(bytes([byte]))
                time.sleep(0.3)
        elif path == "/hang":
            time.sleep(3)
        else:
            self.wfile.write(GOOD)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Trick)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


LOOPBACK = "127.0.0.1/32"


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def test_a_file_behind_a_url_is_copied_and_checked(world: World, origin: str) -> None:
    dataset = imported(service(world, networks=LOOPBACK), f"{origin}/data/good.jsonl?token=s")
    assert (dataset.filename, dataset.rows) == ("good.jsonl", 2)


def test_a_url_without_a_name_gets_one(world: World, origin: str) -> None:
    assert imported(service(world, networks=LOOPBACK), f"{origin}/").filename == "dataset.jsonl"


def test_a_redirect_is_followed_to_an_address_that_is_checked_too(world: World, origin: str) -> None:
    datasets = service(world, networks=LOOPBACK)
    assert imported(datasets, f"{origin}/to?/good.jsonl").rows == 2
    refused = refusal(datasets, f"{origin}/to?https://169.254.169.254/latest/meta-data")
    assert refused.code == "address_refused"
    assert refusal(datasets, f"{origin}/to?http://10.0.0.1/x").code == "address_refused"
    assert refusal(datasets, f"{origin}/to?file:///etc/passwd").code == "invalid_url"


@pytest.mark.parametrize("url", ["https://127.0.0.1/x", "https://localhost/x", "https://[::1]/x", "https://10.0.0.1/x"])
def test_an_address_that_is_not_public_is_refused(world: World, url: str) -> None:
    assert refusal(service(world), url).code == "address_refused"


@pytest.mark.parametrize("url", ["http://example.com/x", "https://u:p@example.com/x", "https:///x"])
def test_a_url_that_must_not_be_called_is_refused(world: World, url: str) -> None:
    assert refusal(service(world), url).code == "invalid_url"


@pytest.mark.parametrize("path", ["missing", "torn", "to?/to?/to?/to?/to?/good"])
def test_a_download_that_fails_says_so_without_the_secret_in_its_query(world: World, origin: str, path: str) -> None:
    joint = "&" if "?" in path else "?"
    refused = refusal(service(world, networks=LOOPBACK), f"{origin}/{path}{joint}signature=secret")
    assert refused.code == "dataset_not_downloaded"
    assert "secret" not in refused.sentence()
    assert world.keys() == []
    assert world.items() == []


@pytest.mark.parametrize("path", ["drip", "hang"])
def test_a_server_that_takes_its_time_is_cut_off(world: World, origin: str, path: str) -> None:
    with within(2.5):
        refused = refusal(service(world, networks=LOOPBACK, seconds=0.5), f"{origin}/{path}")
    assert "longer than 0.5 seconds" in refused.message


def test_a_server_that_nobody_answers_for_is_refused(world: World) -> None:
    refused = refusal(service(world, networks=LOOPBACK), "http://127.0.0.1:9/x.jsonl")
    assert refused.code == "dataset_not_downloaded"


def test_a_download_above_the_limit_is_given_up(world: World, origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("luthier.datasets.service.MAX_BYTES", 10)
    assert refusal(service(world, networks=LOOPBACK), f"{origin}/endless", PayloadTooLarge).code == "file_too_large"


def test_a_certificate_that_nobody_vouches_for_ends_the_download(world: World, origin: str) -> None:
    refused = refusal(service(world, networks=LOOPBACK), origin.replace("http://", "https://") + "/good.jsonl")
    assert refused.code == "dataset_not_downloaded"
