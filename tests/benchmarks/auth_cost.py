"""What recognising a key and counting its request costs, network stubbed, against one bare `update_item`."""

import os
import statistics
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.benchmarks.get_job import KEY, microseconds, stub


def main(runs: int) -> None:
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    os.environ |= {"LUTHIER_TABLE": "luthier", "POWERTOOLS_LOG_LEVEL": "WARNING"}
    from luthier import wiring

    client, calls = wiring.client("dynamodb"), Counter[str]()
    stub(client)
    client.meta.events.register("before-call.dynamodb.*", lambda model, **_: calls.update([model.name]))
    cold, warm = (_calls_of(_ours, calls) for _ in range(2))
    print(f"AWS calls of the first request of a process: {cold}\nAWS calls of a warm request: {warm}")
    measured: dict[str, list[float]] = {"update_item": [], "recognise + count": []}
    for _ in range(runs):  # interleaved, so that a busy machine slows both
        measured["update_item"].append(microseconds(lambda: _reference(client)))
        measured["recognise + count"].append(microseconds(_ours))
    base = min(measured["update_item"])
    print(f"{'warm request':25s} {'min µs':>8s} {'median':>8s} {'x reference':>12s}")
    for name, values in measured.items():
        print(f"{name:25s} {min(values):8.0f} {statistics.median(values):8.0f} {min(values) / base:12.2f}")


def _ours() -> None:
    from luthier import wiring

    window = wiring.rate_limiter().count(wiring.accounts().authenticate(KEY))
    assert window is not None
    window.admit()


def _reference(client: Any) -> None:
    client.update_item(
        TableName="luthier",
        Key={"pk": {"S": "ORG#org_a"}, "sk": {"S": "RATE#1"}},
        UpdateExpression="ADD #all :one",
        ExpressionAttributeNames={"#all": "all"},
        ExpressionAttributeValues={":one": {"N": "1"}},
        ReturnValues="UPDATED_NEW",
    )


def _calls_of(request: Callable[[], None], calls: Counter[str]) -> str:
    calls.clear()
    request()
    return ", ".join(f"{count} {name}" for name, count in calls.items()) or "none"
