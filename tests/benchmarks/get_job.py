"""A warm `GET job` in-process, network stubbed, against a bare Powertools resolver with one `get_item`.

Ours makes one call more: the count of requests that the limit needs.
"""

import io
import json
import os
import statistics
import time
import zlib
from collections.abc import Callable
from typing import Any

KEY = "lt_benchmark"


def main(runs: int) -> None:
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    os.environ |= {"LUTHIER_TABLE": "luthier", "POWERTOOLS_LOG_LEVEL": "WARNING"}
    ours, reference = _ours(), _reference()
    measured = {"powertools resolver + get_item": [], "GET /api/v1/fine-tuning/jobs/{id}": []}
    for _ in range(runs):  # interleaved, so that a busy machine slows both
        measured["powertools resolver + get_item"].append(microseconds(reference))
        measured["GET /api/v1/fine-tuning/jobs/{id}"].append(microseconds(ours))
    base = min(measured["powertools resolver + get_item"])
    print(f"{'warm request':45s} {'min µs':>8s} {'median':>8s} {'x reference':>12s}")
    for name, values in measured.items():
        print(f"{name:45s} {min(values):8.0f} {statistics.median(values):8.0f} {min(values) / base:12.2f}")


def _ours() -> Callable[[], Any]:
    from functions.api import fine_tuning
    from luthier import wiring
    from tests.gateway import proxy_event

    stub(wiring.client("dynamodb"))
    event = proxy_event("GET", "/api/v1/fine-tuning/jobs/ftjob_1", None, {"X-API-Key": KEY})
    assert fine_tuning.handler(event, None)["statusCode"] == 200
    return lambda: fine_tuning.handler(event, None)


def _reference() -> Callable[[], Any]:
    import boto3
    from aws_lambda_powertools.event_handler import APIGatewayRestResolver

    from tests.gateway import proxy_event

    client, app = boto3.client("dynamodb"), APIGatewayRestResolver()
    stub(client)

    @app.get("/jobs/<job_id>")
    def get(job_id: str) -> dict[str, Any]:
        return client.get_item(TableName="t", Key={"pk": {"S": "o"}, "sk": {"S": job_id}})["Item"]

    event = proxy_event("GET", "/jobs/ftjob_1", None, {})
    return lambda: app.resolve(event, None)


def microseconds(call: Callable[[], Any], times: int = 200) -> float:
    call()
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times * 1e6


def stub(client: Any) -> None:
    """Answer every call from memory, as bytes that botocore parses: the key, the job, the count of requests."""
    from botocore.awsrequest import AWSResponse

    def answer(request: Any, **_: Any) -> Any:
        body = json.dumps(answered(request)).encode()
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-crc32": str(zlib.crc32(body))}
        return AWSResponse(request.url, 200, headers, _Raw(body))

    client.meta.events.register("before-send.dynamodb.*", answer)


def answered(request: Any) -> dict[str, Any]:
    """What DynamoDB says to a request of this benchmark."""
    operation = request.headers["X-Amz-Target"].decode().rpartition(".")[2]
    if operation == "UpdateItem":
        return {"Attributes": {"all": {"N": "1"}, "key#key_1": {"N": "1"}, "ttl": {"N": "1"}}}
    if operation == "GetItem":
        wanted = json.loads(request.body)["Key"]
        if wanted["sk"]["S"] == "ORGANIZATION":
            return {}
        return {"Item": _key() if wanted["pk"]["S"].startswith("KEY#") else _job()}
    return {}


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Any:
        yield self.read()


def _key() -> dict[str, Any]:
    from dataclasses import asdict

    from luthier import table
    from luthier.accounts.entity import ApiKey
    from luthier.accounts.service import digest

    key = ApiKey("key_1", "org_a", "user_1", "n", KEY[:8], digest(KEY), ("admin",), "2026-01-01T00:00:00Z")
    return table.encode(asdict(key))


def _job() -> dict[str, Any]:
    from dataclasses import asdict

    from luthier import table
    from luthier.jobs.entity import Job
    from luthier.jobs.hyperparameters import resolve

    now = "2026-01-01T00:00:00Z"
    job = Job(
        "ftjob_1", "org_a", "user_1", "Tickets", "llama-3.1-8b", "file-1", "t.jsonl",
        resolve({}, longest=8192), now, now, cost={"estimate": 1.5, "accrued": 0.0, "cap": None, "currency": "USD"},
    )  # fmt: skip
    return table.encode(asdict(job))
