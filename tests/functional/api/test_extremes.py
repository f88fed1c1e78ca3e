"""Plain input at its extremes: whatever a field holds, the answer names a fault or does the work, and is never a 500.

Routes and fields come from the API's own description, so a new field is tried without anybody thinking of it.
"""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from functions.api.build_openapi import DOCUMENT
from luthier import wiring
from luthier.jobs.logs import GROUP
from tests.factories import BASE_MODEL, Platform, principal
from tests.functional.imports import world as imports
from tests.functional.jobs.test_budget import at_its_cap
from tests.gateway import Gateway

OPENAPI: dict[str, Any] = json.loads(DOCUMENT.read_text())
# A chat's fields go to the model as they are, and nothing of them is kept.
ROUTES = [(method, path) for path, methods in OPENAPI["paths"].items() for method in methods if "chat" not in path]
NUMBERS = (-1, 10**130, 1e300, 1e-300)
QUERIES = ("", "nan", "inf", "1" * 130, "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "\U0001f600" * 240)
TEXTS = ("", "\x00", "x" * 1_500, "\U0001f600" * 240, "s3://bucket", "s3://bucket/", f"s3://bucket/{'k' * 1_100}")
TIMES = QUERIES[4:6]
LISTS: dict[str, tuple[Any, ...]] = {"scopes": (["admin"] * 50_000,)}
SOURCE = {"type": "s3", "uri": "s3://bucket/model"}
SOURCES = (
    *({"type": "s3", "uri": text} for text in TEXTS),
    *({"type": "upload", "files": [{"name": text, "size": 1}]} for text in TEXTS),
    *({"type": "upload", "files": [{"name": "config.json", "size": number}]} for number in NUMBERS),
)
FREE: dict[str, tuple[Any, ...]] = {
    "source": SOURCES,
    "hyperparameters": ({"weightDecay": 1e-300}, {"epochs": 10**130}, {"x" * 1_500: 1}),
}


@pytest.fixture
def us(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """An administrator whom no limit stops."""
    wiring.reset()
    monkeypatch.setenv("LUTHIER_WEBHOOK_PRIVATE_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("LUTHIER_DATASET_BUCKETS", "bucket")
    for scope in ("KEY", "ORGANIZATION"):
        for limit in ("REQUESTS_PER_MINUTE", "CONCURRENT_JOBS"):
            monkeypatch.setenv(f"LUTHIER_{scope}_{limit}", "30000")
    imports.theirs(api.platform, imports.ADAPTER, bucket="bucket", prefix="model")
    return api


def things(us: Gateway) -> dict[str, str]:
    """An own thing for every name in a path. The job has a log, and may be resumed or restarted."""
    paused = at_its_cap(us.platform, us.platform.launched(max_cost=0.2))
    with_log(us.platform, paused.id)
    hook = us.post("/v1/webhooks", {"url": "http://127.0.0.1:9/hook"}).json()["id"]
    model = us.platform.completed().result_model or ""
    deployed = us.platform.deployed(principal(), model)
    batch = {"modelId": model, "requests": [{"id": "1", "prompt": "a"}]}
    return {
        "job_id": paused.id,
        "file_id": paused.training_dataset,
        "model_id": model,
        "webhook_id": hook,
        "webhook_endpoint_id": hook,
        "delivery_id": us.post(f"/v1/webhooks/{hook}/test", {}).json()["deliveryId"],
        "token": us.post(f"/v2/training/models/{model}/download", {}).json()["downloadToken"],
        "batch_id": us.post("/v1/batch/inference", batch).json()["batchId"],
        "endpoint_id": deployed.id,
        "run_id": us.post(f"/v2/{deployed.id}/runasync", {"input": {"prompt": "a"}}).json()["id"],
        "import_id": us.post(imports.IMPORTS, imports.body()).json()["id"],
        "upload_id": us.post(
            "/v1/uploads", {"filename": "a", "bytes": 1, "mime_type": "text/jsonl", "purpose": "evals"}
        ).json()["id"],
        "key_id": us.post("/v1/organization/api_keys", {"name": "n", "scopes": ["models:read"]}).json()["id"],
    }


def with_log(platform: Platform, job_id: str) -> None:
    platform.logs.create_log_group(logGroupName=GROUP)
    platform.logs.create_log_stream(logGroupName=GROUP, logStreamName=f"{job_id.replace('_', '-')}-1-1/algo-1-1")


def path_of(path: str, names: dict[str, str]) -> str:
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", quote(value, safe=""))
    return path


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """What a schema is when it is not null."""
    for option in schema.get("anyOf", []):
        if option.get("type") != "null":
            return resolved(option)
    if "$ref" in schema:
        return resolved(OPENAPI["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]])
    return schema


def extremes(name: str, schema: dict[str, Any]) -> Iterator[Any]:
    match (schema := resolved(schema)).get("type"):
        case "integer" | "number":
            yield from NUMBERS
        case "string":
            yield from (*TEXTS, *TIMES)
        case "array":
            yield from LISTS.get(name, ())
            yield from ([value] for value in extremes(name, schema["items"]))
        case "object":
            yield from FREE.get(name, ())
            for inner, rule in schema.get("properties", {}).items():
                yield from ({inner: value} for value in extremes(inner, rule))


def bodies(operation: dict[str, Any], known: dict[str, str]) -> Iterator[Any]:
    """Bodies with what is required and one extreme."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content:
        right = {"baseModel": BASE_MODEL, "url": "http://127.0.0.1:9/hook", "scopes": ["admin"], "datasetSize": 10}
        right |= dict.fromkeys(("trainingDataset", "dataset"), known["file_id"]) | {"events": ["*"], "bytes": 10}
        right["source"] = SOURCE
        schema = resolved(content["schema"])
        whole = {name: right.get(name, "fine-tune") for name in schema.get("required", [])}
        for name, rule in schema["properties"].items():
            yield from (whole | {name: value} for value in extremes(name, rule))


def requests(method: str, path: str, known: dict[str, str]) -> Iterator[tuple[str, Any]]:
    operation, here = OPENAPI["paths"][path][method], path_of(path, known)
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "query":
            yield from ((f"{here}?{parameter['name']}={quote(value)}", None) for value in QUERIES)
    yield from ((here, body) for body in bodies(operation, known))
    yield path_of(path, dict.fromkeys(known, "\U0001f600" * 240)), None


def test_no_extreme_of_plain_input_is_a_500(us: Gateway) -> None:
    known, failed = things(us), []
    for method, path in ROUTES:
        for asked, body in requests(method, path, known):
            answer = us.send(method.upper(), asked, body)
            # The model that a request before has deployed is still coming up.
            coming_up = answer.status == 503 and "model_not_ready" in answer.text.lower()
            if answer.status >= 500 and not coming_up:
                failed.append((method, asked[:120], str(body)[:200], answer.status))
        if path.endswith("/archive"):
            # What follows should meet a model that can be worked with.
            us.post(path_of(path, known).replace("/archive", "/restore"))
    assert failed == []
