"""What API Gateway does, in-process: picks the function by path, hands it a REST proxy event, reads its answer."""

import base64
import importlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from infra import catalog
from luthier import wiring
from luthier.settings import Settings
from tests.factories import SETTINGS, Platform


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Gateway:
    """A client of the whole API that sends `key` with every request; `platform` is what lies behind it."""

    def __init__(self, platform: Platform, key: str | None = None) -> None:
        self.platform = platform
        self.key = key

    def caller(self, *scopes: str, organization_id: str = "org_a", user_id: str = "user_1") -> "Gateway":
        """The same API with a new key of these scopes."""
        _, key = wiring.accounts().issue_key(
            organization_id=organization_id, user_id=user_id, name="test", scopes=scopes
        )
        return Gateway(self.platform, key)

    def stranger(self) -> "Gateway":
        return Gateway(self.platform)

    def get(self, path: str, **options: Any) -> Answer:
        return self.send("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return self.send("POST", path, body, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        return self.send("DELETE", path, **options)

    def answer_batches(self) -> None:
        """Let the worker of batches take every message that is due."""
        handler = importlib.import_module("functions.events.run_batch").handler
        while bodies := self.platform.queues.take("batches"):
            records = [{"messageId": str(i), "body": body} for i, body in enumerate(bodies)]
            assert handler({"Records": records}, None) == {"batchItemFailures": []}

    def send(self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Answer:
        """Bytes travel base64-encoded, text as it is, anything else as JSON."""
        sent = {"Host": "api.example.test", "X-Forwarded-Proto": "https"}
        if self.key:
            sent["X-API-Key"] = self.key
        if body is not None and not isinstance(body, str | bytes):
            body, sent["Content-Type"] = json.dumps(body), "application/json"
        event = proxy_event(method, path, body, sent | (headers or {}))
        function = answering(method, path)
        response = importlib.import_module(f"functions.{function.folder}.{function.name}").handler(event, None)
        seen = {name.lower(): values[0] for name, values in response["multiValueHeaders"].items()}
        return Answer(response["statusCode"], seen, response["body"])


@pytest.fixture
def api(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    with opened(platform, monkeypatch) as gateway:
        yield gateway


@contextmanager
def opened(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """The API as an administrator of org_a sees it, through the services as `luthier.wiring` puts them together."""
    clients: dict[str, Any] = {"dynamodb": platform.dynamodb, "s3": platform.s3, "logs": platform.logs}
    clients |= {"stepfunctions": platform.states, "sagemaker": platform.sagemaker}
    clients |= {"sagemaker-runtime": platform.runtime, "cloudwatch": platform.alarms}
    clients |= {"application-autoscaling": platform.autoscaling, "sqs": platform.queues, "kms": platform.kms}
    wiring.reset()
    monkeypatch.setattr(wiring, "client", clients.__getitem__)
    for name, value in asdict(SETTINGS).items():
        monkeypatch.setenv(Settings.environment_name(name), str(value))
    yield Gateway(platform).caller("admin")
    wiring.reset()


def answering(method: str, path: str) -> catalog.Function:
    """The function that API Gateway chooses for a path: segment by segment a literal goes before a variable and that
    before a greedy one; then the method's own function before that of ANY.
    """
    segments = path.partition("?")[0].strip("/").split("/")
    fitting = [(_rank(route.strip("/").split("/"), segments), own, row) for own, route, row in catalog.routes()]
    best = max(rank for rank, _, _ in fitting if rank is not None)
    functions = {own: row for rank, own, row in fitting if rank == best}
    return functions.get(method) or functions["ANY"]


def _rank(route: list[str], segments: list[str]) -> tuple[int, ...] | None:
    """2 for a literal segment, 1 for a variable, 0 for the greedy end; None where the route does not fit."""
    rank = []
    for position, part in enumerate(route):
        if part.endswith("+}"):
            return (*rank, 0) if len(segments) > position else None
        if position >= len(segments) or not (part == segments[position] or part.startswith("{")):
            return None
        rank.append(1 if part.startswith("{") else 2)
    return tuple(rank) if len(route) == len(segments) else None


def proxy_event(method: str, path: str, body: str | bytes | None, headers: dict[str, str]) -> dict[str, Any]:
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    binary = isinstance(body, bytes)
    return {
        "httpMethod": method,
        "path": parts.path,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "body": base64.b64encode(body).decode() if isinstance(body, bytes) else body,
        "isBase64Encoded": binary,
        "requestContext": {
            "requestId": str(uuid.uuid4()),
            "stage": "prod",
            "path": f"/prod{parts.path}",
            "identity": {"sourceIp": "203.0.113.7"},
        },
    }
