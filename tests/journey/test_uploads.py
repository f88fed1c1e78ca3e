"""OpenAI's uploads on the running cloud, where a function may do only what its role grants."""

from collections.abc import Iterator
from hashlib import md5

import openai
import pytest

from tests.factories import rows
from tests.journey.local_cloud import LocalCloud

CONTENT = rows(3000)


@pytest.fixture
def client(cloud: LocalCloud) -> Iterator[openai.OpenAI]:
    url, key = (cloud.environment[name] for name in ("LUTHIER_BASE_URL", "LUTHIER_API_KEY"))
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, _strict_response_validation=True) as client:
        yield client


@pytest.mark.parametrize(("part_size", "status"), [(100_000, "processed"), (3_000, "uploaded")])
def test_a_file_that_comes_in_parts_is_checked_at_once_or_by_the_sweeper(
    client: openai.OpenAI, part_size: int, status: str
) -> None:
    done = client.uploads.upload_file_chunked(
        file=CONTENT, filename="train.jsonl", bytes=len(CONTENT), mime_type="text/jsonl", purpose="fine-tune",
        part_size=part_size, md5=md5(CONTENT).hexdigest(),
    )  # fmt: skip
    assert done.file
    assert (done.status, done.file.status) == ("completed", status)
    file = client.files.wait_for_processing(done.file.id, poll_interval=1, max_wait_seconds=150)
    assert (file.status, file.bytes) == ("processed", len(CONTENT))
    assert client.files.content(file.id).read() == CONTENT


def test_an_upload_that_is_cancelled_leaves_no_part(client: openai.OpenAI, cloud: LocalCloud) -> None:
    upload = client.uploads.create(bytes=9, filename="a.jsonl", mime_type="text/jsonl", purpose="fine-tune")
    client.uploads.parts.create(upload.id, data=b"{}\n{}\n{}\n")
    assert client.uploads.cancel(upload.id).status == "cancelled"
    s3 = cloud.aws("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        found = s3.list_objects_v2(Bucket=bucket["Name"], Prefix=".uploads/").get("Contents", [])
        assert not [entry["Key"] for entry in found if upload.id in entry["Key"]]
