"""One request of a client: where it goes, what it carries, and what its answer means."""

import dataclasses
import uuid
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import httpx

from luthier.client import errors
from luthier.client.configuration import Configuration
from luthier.client.flows import Async, Flow, Send, Sync
from luthier.client.retrying import Retries, retry_after

Mode = TypeVar("Mode", Sync, Async)


@dataclass(frozen=True)
class Core(Generic[Mode]):
    """What all resources of a client share. `root`: the client itself, to find other resources from."""

    mode: Mode
    configuration: Configuration
    retries: Retries
    timeout: httpx.Timeout
    root: Any = None

    def changed(self, **changes: Any) -> "Core[Mode]":
        return dataclasses.replace(self, **changes)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
        idempotency_key: str | None = None,
        stream: bool = False,
    ) -> Flow[httpx.Response]:
        """A good answer. `body`: what httpx takes of json, data, files and content. Raises LuthierError."""
        headers = {"Authorization": f"Bearer {self.configuration.api_key}", "User-Agent": "luthier-python"}
        if method == "POST":
            headers["Idempotency-Key"] = idempotency_key or str(uuid.uuid4())
        url = self.configuration.base_url + path
        wanted = Send(method, url, headers, body or {}, _known(params or {}), self.timeout, stream)
        return (yield from self.send(wanted))

    def send(self, wanted: Send) -> Flow[httpx.Response]:
        """A good answer of any server. Raises LuthierError."""
        outcome = yield from self.retries.send(wanted)
        if isinstance(outcome, httpx.RequestError):
            host = httpx.URL(wanted.url).host
            raise errors.ConnectionFailed(
                f"{host} did not answer: {outcome or type(outcome).__name__}.",
                remedy="Check base_url and the network.",
            ) from outcome
        if outcome.is_success:
            return outcome
        request_id = outcome.headers.get("x-request-id")
        raise errors.of_answer(
            outcome.status_code, outcome.text, request_id=request_id, retry_after=retry_after(outcome)
        )


def _known(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
