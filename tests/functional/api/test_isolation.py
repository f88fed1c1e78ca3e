"""Two organizations that have one of everything, and a fuzzer that tries every route of one with what the other has.

Routes, parameters and bodies come from the API itself, so a new route is tried without anybody thinking of it.
"""

import importlib
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from aws_lambda_powertools.event_handler.api_gateway import Route

from functions.api.build_openapi import DOCUMENT, SURFACES
from luthier import table, wiring
from luthier.jobs.entity import Job
from tests.factories import BASE_MODEL, Platform, metrics_line, principal, rows
from tests.functional.imports import world as imports
from tests.functional.processing import world
from tests.gateway import Answer, Gateway

THEIRS, OURS = "org_zebra", "org_okapi"
OPENAPI: dict[str, Any] = json.loads(DOCUMENT.read_text())
# Free text, which is kept and shown as it came.
FREE = {"name": "ours", "description": "ours", "suffix": "ours", "filename": "ours.jsonl", "user_id": "ours"}
FREE |= {"reason": "ours", "mime_type": "ours"}
# Fields whose value must be right before the others are looked at. Any other text of a body is a foreign reference.
GIVEN = FREE | {
    "baseModel": BASE_MODEL,
    "trainingMethod": "sft",
    "method": "sft",
    "hyperparameters": {},
    "messages": [{"role": "user", "content": "hello"}],
    "url": "http://127.0.0.1:9/hook",
    "webhookUrl": "http://127.0.0.1:9/hook",
    "callbackUrl": "http://127.0.0.1:9/hook",
    "events": ["*"],
    "event_types": ["*"],
    "scopes": ["models:read"],
    "expires_at": None,
    "purpose": "fine-tune",
    "stream": False,
    "md5": "0" * 32,
}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z?")
# What is new in every answer.
_REQUEST_ID = re.compile(r'req_[0-9a-f]+|chatcmpl-\w+|"created":\d+|\bep_[0-9a-f]{20}\b')


@pytest.fixture
def us(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    """An administrator of one organization; another has the same things under other names."""
    wiring.reset()
    monkeypatch.setenv("LUTHIER_WEBHOOK_PRIVATE_NETWORKS", "127.0.0.0/8")
    for name in ("WEBHOOK_QUEUE_URL", "SLOW_WEBHOOK_QUEUE_URL", "WEBHOOK_DEAD_LETTERS_URL"):
        monkeypatch.setenv(f"LUTHIER_{name}", "queue")
    for limit in ("KEY_REQUESTS_PER_MINUTE", "ORGANIZATION_REQUESTS_PER_MINUTE"):
        monkeypatch.setenv(f"LUTHIER_{limit}", "30000")
    return [furnished(api, organization) for organization in (THEIRS, OURS)][-1]


def furnished(api: Gateway, organization: str) -> Gateway:
    """An administrator of an organization that has one of everything."""
    platform, word = api.platform, organization.removeprefix("org_")
    who = principal(organization, f"user_{word}")
    mine = api.caller("admin", organization_id=organization, user_id=who.user_id)
    file = platform.datasets.upload(who, filename=f"{word} rows.jsonl", purpose="fine-tune", content=rows()).id
    named = {"name": f"{word} job", "description": f"about {word}", "suffix": word}
    done = platform.completed(who, training_dataset=file, **named)
    made = platform.deployed(who, done.result_model or "")
    assert mine.send("PUT", f"/v2/training/aliases/{word}-alias", {"routes": [{"deploymentId": made.id}]}).status == 200
    preview = mine.get(f"/v1/files/{file}/preview?model=smollm2-135m-instruct")
    assert preview.status == 202
    world.launch(platform, platform.processings.get(organization, preview.json()["processing_id"]))
    [evaluation] = platform.evaluations.evaluate(who, done.result_model or "", [file])
    world.launch(platform, evaluation.processing)
    download = f"/v2/training/models/{done.result_model}/download"
    assert [mine.post(download, {"compression": packed}).status for packed in ("none", "zip")] == [200, 202]
    for name in ("adapter_config.json", "adapter_model.safetensors", "complete.json"):
        platform.put_artifact(f"{organization}/jobs/{done.id}/checkpoints/1/checkpoint-1/{name}", "x")
    checkpoint = next(name for name in done_names(platform, done) if name.startswith("ft:"))
    shared = f"/v1/fine_tuning/checkpoints/{checkpoint}:ckpt-step-1/permissions"
    assert mine.post(shared, {"project_ids": [f"friends-of-{word}"]}).status == 200
    running = platform.launched(who, name=f"{word} runs", webhook_url=f"https://{word}.example.com/hook")
    platform.watcher.metrics_written(platform.write_metrics(running, metrics_line(1)))
    began = mine.post(imports.IMPORTS, imports.body(name=f"{word}-import", description=f"imports {word}"))
    imports.put(began.json(), imports.ADAPTER)
    platform.datasets.begin_upload(who, filename=f"{word}.jsonl", bytes=9, purpose="fine-tune")
    announced = wiring.uploads().create(who, filename=f"{word} parts.jsonl", bytes=9, purpose="fine-tune")
    wiring.uploads().add_part(who, announced.id, b"{}\n{}\n{}\n")
    model, asked = done.result_model or "", [{"id": f"{word} request", "prompt": f"hello {word}"}]
    file_of_requests = platform.datasets.upload(who, filename=f"{word} in.jsonl", purpose="batch", content=b"{}\n").id
    batch = {"input_file_id": file_of_requests, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    assert mine.post("/v1/batches", batch | {"metadata": {"word": f"{word} batch"}}).status == 200
    assert mine.post("/v1/batch/inference", {"modelId": model, "requests": asked}).status == 202
    assert mine.post(f"/v2/{made.id}/runasync", {"input": {"prompt": word}, "tags": {"k": f"{word} tag"}}).status == 202
    hook = mine.post("/v1/webhooks", {"url": f"http://127.0.0.1:9/{word}", "events": ["*"], "name": f"{word} hook"})
    assert mine.post(f"/v1/webhooks/{hook.json()['id']}/test", {}).status < 500
    assert mine.post("/v1/organization/api_keys", {"name": f"{word} key", "scopes": ["models:read"]}).status == 201
    return mine


def done_names(platform: Platform, job: Job) -> list[str]:
    model = platform.models.of_job(job)
    return model.names if model else []


def items(platform: Platform, organization: str) -> list[table.Item]:
    """Every item of one organization, whatever its key."""
    found = platform.dynamodb.scan(TableName="luthier")["Items"]
    decoded = [table.decode(item) for item in found]
    return [item for item in decoded if organization in (item["pk"].partition("#")[2], item.get("organization_id"))]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from itertools.chain.from_iterable(map(texts, (*value, *value.values())))
    elif isinstance(value, list):
        yield from itertools.chain.from_iterable(map(texts, value))
    elif isinstance(value, str) and len(value) > 5 and not _MOMENT.fullmatch(value):
        yield value


def secrets(platform: Platform) -> set[str]:
    """What only the other organization knows: every text of its items that is in none of ours."""
    return set(texts(items(platform, THEIRS))) - set(texts(items(platform, OURS)))


def references(platform: Platform) -> list[str]:
    """What a curious caller would send: one of each kind of the other's ids, names, keys and addresses."""
    kinds: dict[tuple[str, str], str] = {}
    for item in items(platform, THEIRS):
        kind = re.split(r"[#_-]", item["sk"])[0]
        names = ("id", "name", "filename", "target", "s3_key", "prefix")
        for name in (*names, "sk", "pk") if kind in ("JOB", "KEY", "DOWNLOAD") else names:
            if isinstance(value := item.get(name), str) and 5 < len(value) <= 240:
                kinds.setdefault((kind, name), value)
        for number, value in enumerate(item.get("names", [])):
            kinds.setdefault((kind, f"names{number}"), value)
        if kind == "IMPORT":
            kinds.setdefault((kind, "uri"), item["uri"].rstrip("/"))
        if kind == "BATCH":
            kinds.setdefault((kind, item["door"]), item["id"])
        if "s3_key" in item:
            kinds.setdefault((kind, "uri"), f"s3://luthier-data/{item['s3_key']}")
    known = secrets(platform)
    return sorted({value for value in kinds.values() if value in known or THEIRS in value})


def state(platform: Platform) -> Any:
    """All that the other organization has, and all that was done to it outside the table."""
    objects = [
        (entry["Key"], entry["ETag"])
        for bucket in ("luthier-data", "luthier-artifacts")
        for entry in platform.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        if entry["Key"].removeprefix(".imports/").removeprefix(".uploads/").startswith(THEIRS)
    ]
    theirs = sorted(items(platform, THEIRS), key=lambda item: (item["pk"], item["sk"]))
    done = [json.dumps(run) for run in platform.states.started if THEIRS in json.dumps(run)]
    mine = [item["id"].replace("_", "-") for item in items(platform, OURS) if item["sk"].startswith("DEPLOYMENT#")]
    asked = [question for question in platform.runtime.asked if not any(name in question["component"] for name in mine)]
    return theirs, objects, done, list(platform.sagemaker.stopped), asked


def routes(surface: str) -> list[Route]:
    return importlib.import_module(f"functions.api.{surface}").app.routes


def filled(schema: dict[str, Any], reference: str, name: str = "") -> Any:
    """A body of a schema, with the reference wherever a text may stand."""
    if "$ref" in schema:
        return filled(OPENAPI["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], reference, name)
    if name in GIVEN:
        return GIVEN[name]
    if options := schema.get("anyOf"):
        return filled(next(option for option in options if option.get("type") != "null"), reference, name)
    if "enum" in schema or "const" in schema:
        return schema.get("const", (schema.get("enum") or [None])[0])
    match schema.get("type"):
        case "object":
            return {key: filled(inner, reference, key) for key, inner in schema.get("properties", {}).items()}
        case "array":
            return [filled(schema.get("items", {}), reference)]
        case "integer" | "number":
            return max(1, schema.get("minimum", 1))
        case "boolean":
            return False
    return reference


def bodies(route: Route, reference: str) -> list[Any]:
    """None, or every field filled, and only the required ones and those that may refer to something."""
    operation = OPENAPI["paths"][route.openapi_path][route.method.lower()]
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if not content:
        return [None]
    whole = filled(content["schema"], reference)
    slim = {key: value for key, value in whole.items() if key in GIVEN or value == reference}
    return [whole] if slim == whole else [whole, slim]


def own(platform: Platform) -> dict[str, str]:
    """A thing of ours for each field of a body and each id of a path that names one."""
    found: dict[str, str] = {}
    for item in items(platform, OURS):
        if item.get("status") != "uploaded":
            found.setdefault(item["sk"].partition("#")[0], item.get("name") or item.get("id", ""))
    job, model, file, hook = (found[kind] for kind in ("JOB", "MODEL", "FILE", "WEBHOOK"))
    ids = {"job_id": job, "model_id": model, "webhook_id": hook, "webhook_endpoint_id": hook, "key_id": found["KEY"]}
    ids["deployment_id"] = next(item["id"] for item in items(platform, OURS) if item["sk"].startswith("DEPLOYMENT#"))
    ids["endpoint_id"] = ids["deployment_id"]
    ids |= dict.fromkeys(("batch_id", "run_id"), "x") | {"upload_id": found["UPLOAD"]}
    return dict.fromkeys(("trainingDataset", "dataset", "validationFile"), file) | {"model": model} | ids


def right_but_one(route: Route, reference: str, right: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Bodies that are right but for one text, which is the reference: no fault hides what becomes of another field."""
    whole = bodies(route, "x")[0] or {}
    known = {name: right.get(name, GIVEN.get(name)) for name in whole if name in GIVEN or name in right}
    for field in whole:
        # What may be anything goes to a model, which knows no things.
        if field not in FREE and "string" in kinds(route, field):
            yield known | {field: reference}


def kinds(route: Route, field: str) -> set[str]:
    """The JSON types that a field of a route's body may have."""
    schema = OPENAPI["paths"][route.openapi_path][route.method.lower()]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    reference = next(option["$ref"] for option in (schema, *schema.get("anyOf", [])) if "$ref" in option)
    rule = OPENAPI["components"]["schemas"][reference.rsplit("/", 1)[1]]["properties"][field]
    return {option["type"] for option in (rule, *rule.get("anyOf", [])) if "type" in option}


def requests(route: Route, reference: str) -> Iterator[tuple[str, Any]]:
    """Every request of a route that carries the reference in its path, its query or its body."""
    path = re.sub(r"{\w+}", reference.replace("#", "%23").replace("?", "%3F"), route.openapi_path)
    for body in bodies(route, reference):
        yield path, body
    for parameter in route.dependant.query_params:
        yield f"{path}?{parameter.alias}={reference.replace('#', '%23')}", None


def told(answer: Answer, reference: str) -> tuple[int, str]:
    """What an answer says, without what the caller had said."""
    text = _REQUEST_ID.sub("", _MOMENT.sub("", answer.text))
    for spelling in (reference, reference.replace("#", "%23"), reference.rsplit("/", 1)[-1]):
        text = text.replace(spelling, "<reference>")
    return answer.status, text


def twin(reference: str) -> str:
    """A reference of the same form to something that does not exist."""
    return reference[:-1] + ("0" if reference[-1] != "0" else "1")


@pytest.mark.parametrize("surface", SURFACES)
def test_no_route_tells_or_changes_anything_of_another_organization(us: Gateway, surface: str) -> None:
    known, before = secrets(us.platform), state(us.platform)
    assert len(known) > 50
    for route, reference in itertools.product(routes(surface), references(us.platform)):
        for path, body in requests(route, reference):
            answer = us.send(route.method, path, body)
            asked = path.replace("%23", "#") + json.dumps(body)
            assert answer.status < 500, (route.method, path, body, answer.text)
            leaked = [secret for secret in known if secret in answer.text and secret not in asked]
            assert leaked == [], (route.method, path, body)
    assert state(us.platform) == before


@pytest.mark.parametrize("surface", SURFACES)
def test_what_is_another_organizations_is_answered_like_what_does_not_exist(us: Gateway, surface: str) -> None:
    with_ids = [route for route in routes(surface) if "{" in route.openapi_path]
    for route, reference in itertools.product(with_ids, references(us.platform)):
        path = re.sub(r"{\w+}", "%s", route.openapi_path)
        seen = []
        for sent in (reference, twin(reference)):
            escaped = sent.replace("#", "%23")
            answer = us.send(route.method, path.replace("%s", escaped), bodies(route, "x")[0])
            seen.append(told(answer, sent))
        assert seen[0] == seen[1], (route.method, path, reference)
        assert seen[0][0] in (400, 404, 409, 413), (route.method, path, reference, seen[0])


@pytest.mark.parametrize("surface", SURFACES)
def test_a_body_that_names_what_is_another_organizations_is_answered_as_if_it_did_not_exist(
    us: Gateway, surface: str
) -> None:
    right, before = own(us.platform), state(us.platform)
    for route, reference in itertools.product(routes(surface), references(us.platform)):
        missing = ("delivery_id", "file_id", "evaluation_id", "import_id", "permission_id", "token")
        nobodys_ids = dict.fromkeys((*missing, "fine_tuned_model_checkpoint"), "x")
        named = {"name": "okapi-alias", "version": "v1.0.0"}
        path = route.openapi_path.format_map(right | nobodys_ids | named)
        for theirs, nobodys in zip(
            right_but_one(route, reference, right), right_but_one(route, twin(reference), right), strict=True
        ):
            seen = [
                told(us.send(route.method, path, body), sent)
                for body, sent in ((theirs, reference), (nobodys, twin(reference)))
            ]
            assert seen[0] == seen[1], (route.method, path, theirs)
    assert state(us.platform) == before


def test_the_fuzzer_would_notice_a_model_of_another_organization_as_base_model(
    us: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = wiring.models()
    find = models.find
    monkeypatch.setattr(models, "find", lambda _, name: find(THEIRS, name))
    with pytest.raises(AssertionError):
        test_a_body_that_names_what_is_another_organizations_is_answered_as_if_it_did_not_exist(us, "tuning")


def test_the_fuzzer_would_notice_a_route_that_looks_into_the_wrong_organization(
    us: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = us.platform.job_store
    find = store.get
    monkeypatch.setattr(wiring.jobs()._store, "get", lambda _, job_id: find(THEIRS, job_id))
    with pytest.raises(AssertionError):
        test_no_route_tells_or_changes_anything_of_another_organization(us, "tuning")
