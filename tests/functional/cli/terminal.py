"""The command line against the real functions, in-process."""

import json
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import requests
from typer.testing import CliRunner, Result

# Its log goes to where standard output leads when it is imported: not into what a command prints.
import functions.api.app  # noqa: F401
from luthier.cli import app
from tests.clients import BASE_URL, Network
from tests.factories import Platform
from tests.gateway import Gateway


@dataclass
class Terminal:
    """The command line of somebody who has a key of the platform behind `api`."""

    network: Network

    @property
    def api(self) -> Gateway:
        return self.network.api

    @property
    def platform(self) -> Platform:
        return self.api.platform

    def run(self, *words: object, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, list(map(str, words)), input=stdin)

    def shown(self, *words: object, **options: Any) -> str:
        """What a command that ends well prints for people."""
        ended = self.run(*words, **options)
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    def json(self, *words: object, status: int = 0) -> Any:
        """What it prints with --json, which is all that it prints."""
        ended = self.run(*words, "--json")
        assert ended.exit_code == status, ended.output
        return json.loads(ended.stdout)

    def refused(self, status: int, *words: object, **options: Any) -> str:
        """What a command says that ends with a status; nobody sees a traceback."""
        ended = self.run(*words, **options)
        assert ended.exit_code == status, ended.output
        assert isinstance(ended.exception, SystemExit | None)
        assert "Traceback" not in ended.output
        return ended.stderr


@pytest.fixture
def terminal(api: Gateway, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    network = Network(api)

    def send(_: Any, request: httpx.Request) -> httpx.Response:
        try:
            return network(request)
        except requests.ConnectionError as failure:
            raise httpx.ConnectError(str(failure)) from failure

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", send)
    monkeypatch.setenv("HOME", "/none")
    monkeypatch.setenv("LUTHIER_API_KEY", str(api.key))
    monkeypatch.setenv("LUTHIER_BASE_URL", BASE_URL)
    return Terminal(network)
