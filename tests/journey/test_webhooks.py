"""Webhooks of the running cloud: a real change, through stream, bus, queues and functions, to a real receiver."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from standardwebhooks import Webhook

from infra.local.options import REPOSITORY
from tests.journey.customer import Customer
from tests.journey.local_cloud import LocalCloud, wait_for
from tests.receivers import Receiver, answering

WEBHOOKS = "/v1/webhooks"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().running() as receiver:
        yield receiver


def arrived(receiver: Receiver, count: int = 1) -> Any:
    return wait_for(lambda: receiver.received if len(receiver.received) >= count else None, 60, f"{count} deliveries")


def test_a_change_is_delivered_signed_and_logged(customer: Customer, receiver: Receiver) -> None:
    webhook = customer.call("POST", WEBHOOKS, json={"url": receiver.url(), "events": ["dataset.validated"]})
    file_id = customer.upload()
    received = arrived(receiver)[0]
    event = Webhook(webhook["secret"]).verify(received.body, received.headers)
    assert (event["event"], event["data"]["fileId"]) == ("dataset.validated", file_id)
    path = f"{WEBHOOKS}/{webhook['id']}/deliveries/{received.headers['webhook-id']}"
    logged = wait_for(lambda: (one := customer.call("GET", path))["status"] == "delivered" and one, 30, "the log")
    assert logged["attempts"][0]["statusCode"] == 200
    assert logged["request"]["body"] == json.loads(received.body)
    customer.call("DELETE", f"{WEBHOOKS}/{webhook['id']}")


def test_a_failure_is_retried_after_five_seconds(customer: Customer, receiver: Receiver) -> None:
    ok = receiver.answer
    receiver.answer = lambda received: answering(500) if len(receiver.received) == 1 else ok(received)
    webhook = customer.call("POST", WEBHOOKS, json={"url": receiver.url(), "events": ["dataset.validated"]})
    customer.upload()
    first, second = arrived(receiver, 2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert 4.5 <= second.at - first.at < 30
    customer.call("DELETE", f"{WEBHOOKS}/{webhook['id']}")


def test_a_published_event_is_let_go_and_one_that_was_not_is_published_by_the_sweeper(
    cloud: LocalCloud, customer: Customer
) -> None:
    dynamodb, place = cloud.aws("dynamodb"), {"TableName": cloud.environment["LUTHIER_TABLE"]}

    def waiting() -> list[dict[str, Any]]:
        live = {"KeyConditionExpression": "gsi4pk = :l", "ExpressionAttributeValues": {":l": {"S": "LIVE#EVENT"}}}
        return dynamodb.query(**place, IndexName="gsi4", **live)["Items"]

    file_id = customer.upload()
    wait_for(lambda: not waiting(), 30, "the bus to take every event")
    rows = dynamodb.scan(
        **place, FilterExpression="begins_with(sk, :e)", ExpressionAttributeValues={":e": {"S": "EVENT#"}}
    )
    (row,) = (row for row in rows["Items"] if file_id in str(row))
    late = {":p": {"S": "LIVE#EVENT"}, ":s": {"S": "2026-01-01T00:00:00Z"}}
    key = {name: row[name] for name in ("pk", "sk")}
    dynamodb.update_item(
        **place, Key=key, UpdateExpression="SET gsi4pk = :p, gsi4sk = :s", ExpressionAttributeValues=late
    )
    swept = cloud.aws("lambda").invoke(FunctionName="luthier-sweep-outbox")["Payload"].read()
    assert json.loads(swept) == {"published": 1}
    assert waiting() == []


def test_openais_client_unwraps_the_end_of_a_job(
    cloud: LocalCloud, completed: dict[str, Any], customer: Customer, receiver: Receiver
) -> None:
    client = openai.OpenAI(api_key=cloud.environment["LUTHIER_API_KEY"], base_url=f"http://127.0.0.1:{cloud.port}/v1")
    names = ("succeeded", "failed", "cancelled")
    made = client.webhooks.create(
        name="x", url=receiver.url(), event_types=[f"fine_tuning.job.{name}" for name in names]
    )
    job_id = customer.create_job({"epochs": 1, "learningRate": 0.01, "batchSize": 8})
    customer.wait_for_end(job_id)
    received = arrived(receiver)[0]
    event = client.webhooks.unwrap(received.body, received.headers, secret=made.signing_secret)
    assert (event.type, event.data.id) == ("fine_tuning.job.succeeded", job_id)
    client.webhooks.delete(made.id)


def test_the_example_receiver_prints_what_it_is_sent(customer: Customer, unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}/"
    webhook = customer.call("POST", WEBHOOKS, json={"url": url, "events": ["dataset.rejected"]})
    command = [sys.executable, "-m", "luthier.client.webhook_receiver", "--secret", webhook["secret"]]
    with subprocess.Popen(
        [*command, "--port", str(unused_port)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as example:
        assert example.stdout is not None
        assert example.stdout.readline() == f"Listening on {url}\n"
        tested = customer.call("POST", f"{WEBHOOKS}/{webhook['id']}/test", json={"event": "dataset.rejected"})
        assert tested["success"], tested
        assert json.loads(example.stdout.readline())["event"] == "dataset.rejected"
        example.terminate()
    customer.call("DELETE", f"{WEBHOOKS}/{webhook['id']}")


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
