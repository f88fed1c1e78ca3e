import json
from typing import Any

import boto3
import pytest

from luthier.events.entity import event
from luthier.events.outbox import Publisher, write
from tests.factories import Platform, principal
from tests.fakes import refusal


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


class Bus:
    """Keeps what it takes; answers with `fault` while it has one, and fails a call about what it `refuses`."""

    def __init__(self) -> None:
        self.published: list[dict] = []
        self.names: list[str] = []
        self.fault: str | None = None
        self.refuses: str | None = None

    def put_events(self, Entries: list[dict]) -> dict:
        if self.refuses and self.refuses in str(Entries):
            raise refusal("ValidationException", "Total size of the entries in the request is over the limit.")
        if self.fault:
            return {"Entries": [{"ErrorCode": self.fault} for _ in Entries]}
        self.published += Entries
        self.names += [entry["DetailType"] for entry in Entries]
        return {"Entries": [{} for _ in Entries]}


def publisher(platform: Platform, bus: Any = None) -> Publisher:
    return Publisher(bus or boto3.client("events"), "luthier", platform.dynamodb, "luthier", platform.clock)


def images(platform: Platform) -> list[dict]:
    found = platform.dynamodb.scan(TableName="luthier")["Items"]
    return [item for item in found if item["sk"]["S"].startswith("EVENT#")]


def test_an_event_of_the_outbox_reaches_every_rule_of_the_bus(platform: Platform, subscriber) -> None:  # type: ignore[no-untyped-def]
    job = platform.job(principal())
    assert publisher(platform).publish(images(platform)) == []
    (received,) = [received for received in subscriber() if received["detail-type"].startswith("training")]
    assert (received["source"], received["detail-type"]) == ("luthier", "training.queued")
    assert received["detail"]["data"]["jobId"] == job.id
    assert received["detail"]["organization_id"] == "org_a"


def test_more_events_than_one_call_takes_are_sent_in_batches(platform: Platform, subscriber) -> None:  # type: ignore[no-untyped-def]
    for _ in range(23):
        platform.job(principal())
    assert publisher(platform).publish(images(platform)) == []


def test_what_the_bus_refuses_is_reported_for_another_try(platform: Platform) -> None:
    class Refusing:
        def put_events(self, Entries: list) -> dict:
            return {"Entries": [{"ErrorCode": "InternalFailure"} if i == 1 else {} for i in range(len(Entries))]}

    made = [event("training.queued", "o", "2026-01-01T00:00:00Z", {}) for _ in range(3)]
    stream = [write(one, "luthier")["Put"]["Item"] for one in made]
    assert publisher(platform, Refusing()).publish(stream) == [1]


def test_the_end_of_a_job_is_published_under_openais_name_too(platform: Platform, subscriber) -> None:  # type: ignore[no-untyped-def]
    job = platform.failed()
    ended = [image for image in images(platform) if image["type"]["S"] == "training.failed"]
    publisher(platform).publish(ended)
    first, second = (received["detail"] for received in subscriber())
    assert (first["type"], second["type"]) == ("training.failed", "fine_tuning.job.failed")
    assert second["data"] == {"id": job.id}
    assert second["id"] == f"{first['id']}_failed"


def test_a_fact_that_the_bus_took_only_in_part_is_published_again(platform: Platform) -> None:
    class HalfRefusing:
        def put_events(self, Entries: list) -> dict:
            return {"Entries": [{"ErrorCode": "x"} if "fine_tuning" in e["DetailType"] else {} for e in Entries]}

    made = event("training.failed", "o", "2026-01-01T00:00:00Z", {"jobId": "ftjob_1"})
    assert publisher(platform, HalfRefusing()).publish([write(made, "t")["Put"]["Item"]]) == [0]


def test_the_webhook_url_that_lies_beside_an_event_is_not_published(platform: Platform) -> None:
    bus = Bus()
    made = event("training.failed", "o", "2026-01-01T00:00:00Z", {"jobId": "ftjob_1"})
    row = write(made, "luthier", "https://app.example.com/hook?token=secret")["Put"]["Item"]
    assert publisher(platform, bus).publish([row]) == []
    assert bus.names == ["training.failed", "fine_tuning.job.failed"]
    assert "example.com" not in str(bus.published)


def test_what_the_stream_gave_up_on_is_published_by_the_sweeper_once(platform: Platform) -> None:
    bus = Bus()
    platform.job(principal())
    bus.fault = "InternalFailure"
    (image,) = (image for image in images(platform) if image["type"]["S"] == "training.queued")
    assert publisher(platform, bus).publish([image]) == [0]
    bus.fault = None
    assert swept(platform, bus) == []
    platform.clock.advance(minutes=16)
    assert swept(platform, bus) == ["training.queued"]
    platform.clock.advance(days=30)
    assert swept(platform, bus) == []


def test_an_event_that_was_published_is_not_swept_and_waits_a_week(platform: Platform) -> None:
    bus = Bus()
    platform.job(principal())
    publisher(platform, bus).publish(images(platform))
    platform.clock.advance(days=1)
    assert swept(platform, bus) == []
    week = platform.clock.moment.timestamp() + 6 * 24 * 3600
    assert {int(image["ttl"]["N"]) for image in images(platform)} == {week}


def test_an_event_that_expired_meanwhile_stays_gone_and_keeps_no_other_in_the_index(platform: Platform) -> None:
    gone, there = (platform.job(who) for who in (principal("org_a"), principal("org_b")))
    seen = images(platform)
    expired = next(image for image in seen if gone.id in str(image))
    place = {name: expired[name] for name in ("pk", "sk")}
    platform.dynamodb.delete_item(TableName="luthier", Key=place)
    assert publisher(platform, Bus()).publish(seen) == []
    left = images(platform)
    assert place["sk"] not in [image["sk"] for image in left]
    assert there.id in str(left)
    assert all("ttl" in image for image in left)


def test_an_event_that_cannot_be_published_holds_back_no_other_and_does_not_expire(platform: Platform) -> None:
    bus = Bus()
    bad, good = (platform.job(who) for who in (principal("org_a"), principal("org_b")))
    bus.refuses = bad.id
    platform.clock.advance(days=30)
    assert swept(platform, bus) == ["training.queued"]
    assert good.id in str(bus.published)
    bus.refuses = None
    assert swept(platform, bus) == ["training.queued"]


def swept(platform: Platform, bus: "Bus") -> list[str]:
    """The names that a turn of the sweeper publishes, without those about files, which have a clock of their own."""
    bus.names.clear()
    publisher(platform, bus).sweep()
    return [name for name in bus.names if not name.startswith("dataset.")]


def test_an_event_outside_the_catalogue_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        event("training.exploded", "o", "2026-01-01T00:00:00Z", {})
