"""Requests that stand in openapi.json as examples: sent to the real functions, and kept as they were answered.

Ids, times and secrets are counted instead of drawn, so that the same requests have the same answers every time.
"""

import importlib
import itertools
import json
import re
import secrets
from base64 import b64encode
from collections.abc import Callable
from datetime import datetime, tzinfo
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import moto
import pytest

from functions.api.build_openapi import build
from luthier import clock, ids, wiring
from luthier.webhooks.sender import Outcome, Sender
from tests.factories import Clock, Platform
from tests.gateway import Answer, Gateway, answering, opened

# Of a list of objects.
MOST_ROWS = 2
# What depends on the machine, or on a key that nobody can choose.
_MEASURED = {
    **dict.fromkeys(("latency", "latency_ms", "responseTime"), 240),
    "executionTime": 0.24,
    "request_id": f"req_{0:032x}",
    "signature": b64encode(bytes(32)).decode(),
}
_SIGNED = re.compile(r"\?(?:AWSAccessKeyId|X-Amz-Algorithm|response-content|X-Amz)[^\"\s]*")
_SETTINGS = {
    "WEBHOOK_QUEUE_URL": "quick",
    "SLOW_WEBHOOK_QUEUE_URL": "slow",
    "WEBHOOK_DEAD_LETTERS_URL": "dead",
    "KEY_REQUESTS_PER_MINUTE": "30000",
    "ORGANIZATION_REQUESTS_PER_MINUTE": "30000",
}

Example = dict[str, Any]
Scenario = Callable[["Recorder"], None]


class Recorder(Gateway):
    """Keeps the first answer of each kind that an operation gives, and what was asked. A refusal is a fault."""

    def __init__(self, platform: Platform, key: str | None, told: dict[str, Example] | None = None) -> None:
        super().__init__(platform, key)
        self.told: dict[str, Example] = {} if told is None else told

    def stranger(self) -> "Recorder":
        return Recorder(self.platform, None, self.told)

    def made(self, path: str, body: Any = None, **options: Any) -> Any:
        """What a POST answers."""
        return self.post(path, body, **options).json()

    def patch(self, path: str, body: Any) -> Answer:
        return self.send("PATCH", path, body)

    def form(self, path: str, name: str, content: bytes, field: str = "file", **fields: str) -> Any:
        """What a form with one file answers."""
        request = httpx.Request("POST", "http://test/", data=fields, files={field: (name, content)})
        body, headers = request.read(), {"Content-Type": request.headers["content-type"]}
        answer = Gateway.send(self, "POST", path, body, headers=headers)
        self._keep("POST", path, {"multipart/form-data": fields | {field: content.decode()}}, answer)
        return answer.json()

    def send(self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Answer:
        answer = super().send(method, path, body, headers=headers)
        self._keep(method, path, {} if body is None else {"application/json": body}, answer)
        return answer

    def _keep(self, method: str, path: str, sent: dict[str, Any], answer: Answer) -> None:
        assert answer.status < 400, (method, path, answer.status, answer.text)
        name, parameters = self._operation(method, path)
        kept = self.told.setdefault(name, {"parameters": parameters, "request": sent, "responses": {}})
        media = answer.headers.get("content-type", "").partition(";")[0]
        if answer.text:
            kept["responses"].setdefault(str(answer.status), {}).setdefault(media, _read(media, answer.text))

    def _operation(self, method: str, path: str) -> tuple[str, dict[str, Any]]:
        """The operation that answers a path, and the values of its parameters there."""
        parts = urlsplit(path)
        surface = importlib.import_module(f"functions.api.{answering(method, path).name}").app
        routed = surface._routable(parts.path)
        matches = ((route, route.rule.match(routed)) for route in surface.routes if route.method == method)
        route, match = next((route, match) for route, match in matches if match)
        operation = _operations()[route.openapi_path][method.lower()]
        given: dict[str, Any] = {name: unquote(value) for name, value in match.groupdict().items()}
        for name, values in parse_qs(parts.query).items():
            [schema] = [row["schema"] for row in operation["parameters"] if row["name"] == name]
            given[name] = _typed(values, schema)
        return operation["operationId"], given


def recorded(scenario: Scenario) -> dict[str, Example]:
    """Operation → its example, as a scenario on an empty platform yields them."""
    with pytest.MonkeyPatch.context() as patch, moto.mock_aws():
        platform = Platform()
        _count(patch, platform.clock)
        with opened(platform, patch) as api:
            for name, value in _SETTINGS.items():
                patch.setenv(f"LUTHIER_{name}", value)
            # So that it reads them.
            wiring.reset()
            recorder = Recorder(platform, api.key)
            scenario(recorder)
    return json.loads(json.dumps({name: _tidy(example) for name, example in recorder.told.items()}))


def _count(patch: pytest.MonkeyPatch, now: Clock) -> None:
    """Nothing is drawn or read off the machine, and a receiver of webhooks always answers."""
    numbers = itertools.count(1)

    class Moment(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return now()

    async def send(sender: Sender, post: Any) -> Outcome:
        return Outcome(milliseconds=120, status=200, text="ok")

    patch.setattr(clock, "datetime", Moment)
    patch.setattr("moto.s3.models.utcnow", lambda: now().replace(tzinfo=None))
    patch.setattr(ids, "_ulid", lambda: f"01kdw{next(numbers):021d}")
    patch.setattr(secrets, "token_urlsafe", lambda size: f"EXAMPLE{next(numbers):0{size}d}")
    patch.setattr(secrets, "token_bytes", lambda size: next(numbers).to_bytes(size))
    patch.setattr(Sender, "send", send)


@cache
def _operations() -> dict[str, Any]:
    found: dict[str, Any] = build()["paths"]
    return found


def _typed(values: list[str], schema: dict[str, Any]) -> Any:
    """A parameter of a query as what its schema makes of it."""
    kinds = {option.get("type") for option in schema.get("anyOf", [schema])}
    if "array" in kinds:
        return values
    return int(values[0]) if "integer" in kinds else values[0]


def _read(media: str, text: str) -> Any:
    return json.loads(text) if media == "application/json" else text


def _tidy(value: Any, name: str = "") -> Any:
    """An example that is the same wherever it was recorded, and short enough to be read."""
    if name in _MEASURED and value is not None:
        return _MEASURED[name]
    if isinstance(value, dict):
        return {key: _tidy(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        rows = value[:MOST_ROWS] if value and isinstance(value[0], dict) else value
        return [_tidy(row) for row in rows]
    return _SIGNED.sub("?signature=…", value) if isinstance(value, str) else value
