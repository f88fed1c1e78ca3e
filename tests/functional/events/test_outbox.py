import json

import boto3
import pytest

from luthier import table
from luthier.events.entity import event
from luthier.events.outbox import Publisher, write
from tests.factories import Platform, principal


@pytest.fixture
def subscriber(platform: Platform) -> object:
    """A queue behind a rule that takes every Luthier event."""
    sqs, events = boto3.client("sqs"), boto3.client("events")
    url = sqs.create_queue(QueueName="subscriber")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.create_event_bus(Name="luthier")
    events.put_rule(Name="all", EventBusName="luthier", EventPattern=json.dumps({"source": ["luthier"]}))
    events.put_targets(Rule="all", EventBusName="luthier", Targets=[{"Id": "q", "Arn": arn}])
    return lambda: [
        json.loads(m["Body"]) for m in sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    ]


def images(platform: Platform) -> list[dict]:
    found = platform.dynamodb.scan(TableName="luthier")["Items"]
    return [item for item in found if item["sk"]["S"].startswith("EVENT#")]


def test_an_event_of_the_outbox_reaches_every_rule_of_the_bus(platform: Platform, subscriber) -> None:  # type: ignore[no-untyped-def]
    job = platform.job(principal())
    assert Publisher(boto3.client("events"), "luthier").publish(images(platform)) == []
    (received,) = [received for received in subscriber() if received["detail-type"].startswith("training")]
    assert (received["source"], received["detail-type"]) == ("luthier", "training.queued")
    assert received["detail"]["data"]["jobId"] == job.id
    assert received["detail"]["organization_id"] == "org_a"


def test_more_events_than_one_call_takes_are_sent_in_batches(platform: Platform, subscriber) -> None:  # type: ignore[no-untyped-def]
    for _ in range(23):
        platform.job(principal())
    assert Publisher(boto3.client("events"), "luthier").publish(images(platform)) == []


def test_what_the_bus_refuses_is_reported_for_another_try() -> None:
    class Refusing:
        def put_events(self, Entries: list) -> dict:
            return {"Entries": [{"ErrorCode": "InternalFailure"} if i == 1 else {} for i in range(len(Entries))]}

    made = [event("training.queued", "o", "2026-01-01T00:00:00Z", {}) for _ in range(3)]
    stream = [write(one, "luthier")["Put"]["Item"] for one in made]
    assert Publisher(Refusing(), "luthier").publish(stream) == [1]


def test_the_end_of_a_job_is_published_under_openais_name_too(platform: Platform, subscriber) -> None:  # type: ignore[no-untyped-def]
    job = platform.failed()
    ended = [image for image in images(platform) if image["type"]["S"] == "training.failed"]
    Publisher(boto3.client("events"), "luthier").publish(ended)
    first, second = (received["detail"] for received in subscriber())
    assert (first["type"], second["type"]) == ("training.failed", "fine_tuning.job.failed")
    assert second["data"] == {"id": job.id}
    assert second["id"] == f"{first['id']}_failed"


def test_a_fact_that_the_bus_took_only_in_part_is_published_again() -> None:
    class HalfRefusing:
        def put_events(self, Entries: list) -> dict:
            return {"Entries": [{"ErrorCode": "x"} if "fine_tuning" in e["DetailType"] else {} for e in Entries]}

    made = event("training.failed", "o", "2026-01-01T00:00:00Z", {"jobId": "ftjob_1"})
    assert Publisher(HalfRefusing(), "luthier").publish([write(made, "t")["Put"]["Item"]]) == [0]


def test_the_webhook_url_that_lies_beside_an_event_is_not_published() -> None:
    published: list = []

    class Bus:
        def put_events(self, Entries: list) -> dict:
            published.extend(Entries)
            return {"Entries": [{} for _ in Entries]}

    made = event("training.failed", "o", "2026-01-01T00:00:00Z", {"jobId": "ftjob_1"})
    row = write(made, "luthier", "https://app.example.com/hook?token=secret")["Put"]["Item"]
    assert Publisher(Bus(), "luthier").publish([row]) == []
    assert len(published) == 2
    assert "example.com" not in str(published)


def test_an_event_waits_a_week_in_the_outbox() -> None:
    item = table.decode(write(event("training.failed", "o", "2026-01-01T00:00:00Z", {}), "t")["Put"]["Item"])
    assert item["ttl"] == 1767225600 + 7 * 24 * 3600


def test_an_event_outside_the_catalogue_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        event("training.exploded", "o", "2026-01-01T00:00:00Z", {})
