"""The dashboard's files beside the API: who gets a page, who gets JSON, and under which policy."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from infra.local.front_door import FrontDoor
from infra.local.pages import Pages

PORT = 8080
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    built = tmp_path / "dist"
    (built / "assets").mkdir(parents=True)
    (built / "index.html").write_text("<!doctype html>")
    (built / "assets" / "index-a1.js").write_text("let a")
    (tmp_path / "secret").write_text("outside")
    return built


class Asked:
    """A front door before an API that says which path it was asked for."""

    def __init__(self, folder: Path, started: bool = True) -> None:
        self._door = FrontDoor(self._api, PORT, lambda: None, Pages(folder))
        if started:
            self._door.open("abc", "live", {})

    async def _api(self, scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": json.dumps(scope["path"]).encode()})

    def __call__(self, path: str, accept: str = "*/*", method: str = "GET", port: int = PORT) -> tuple[int, dict, str]:
        """(status, headers, body)"""
        headers = [(b"accept", accept.encode())]
        scope = {"type": "http", "method": method, "path": path, "headers": headers, "server": ("127.0.0.1", port)}
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        asyncio.run(self._door(scope, receive, send))
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return sent[0]["status"], told, b"".join(one["body"] for one in sent[1:]).decode()


def test_a_browser_gets_the_page_at_the_root_and_a_program_gets_the_api(folder: Path) -> None:
    asked = Asked(folder)
    status, headers, body = asked("/", accept=BROWSER)
    assert (status, headers["content-type"], body) == (200, "text/html", "<!doctype html>")
    assert headers["vary"] == "Accept"
    for accept in ("*/*", "application/json", ""):
        assert asked("/", accept=accept)[2] == '"/_aws/execute-api/abc/live/"'


def test_the_page_may_neither_run_nor_load_anything_of_other_origins(folder: Path) -> None:
    policy = Asked(folder)("/index.html")[1]["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == "'none'"
    assert {rules[name] for name in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
    assert "unsafe" not in policy


def test_assets_may_be_kept_for_ever_and_the_page_is_asked_for_every_time(folder: Path) -> None:
    asked = Asked(folder)
    _, headers, body = asked("/assets/index-a1.js")
    assert (headers["content-type"], body) == ("text/javascript", "let a")
    assert "immutable" in headers["cache-control"]
    assert asked("/index.html")[1]["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/assets/index-b2.js"),
        ("GET", "/assets/../secret"),
        ("GET", "/assets/../index.html"),
        ("GET", "/assets/.."),
        ("GET", "/assets/"),
        ("GET", "/secret"),
        ("POST", "/"),
        ("DELETE", "/index.html"),
        ("GET", "/v1/models"),
    ],
)
def test_whatever_is_no_file_of_the_page_is_the_apis(folder: Path, method: str, path: str) -> None:
    assert Asked(folder)(path, accept=BROWSER, method=method)[2] == json.dumps(f"/_aws/execute-api/abc/live{path}")


def test_without_a_build_everything_is_the_apis(tmp_path: Path) -> None:
    asked = Asked(tmp_path / "never-built")
    assert [asked(path, accept=BROWSER)[2] for path in ("/", "/index.html")] == [
        '"/_aws/execute-api/abc/live/"',
        '"/_aws/execute-api/abc/live/index.html"',
    ]


def test_head_tells_what_get_would_and_sends_nothing(folder: Path) -> None:
    asked = Asked(folder)
    head, got = asked("/", accept=BROWSER, method="HEAD"), asked("/", accept=BROWSER)
    assert head == (*got[:2], "")


def test_the_page_is_there_while_the_api_still_starts(folder: Path) -> None:
    asked = Asked(folder, started=False)
    assert asked("/", accept=BROWSER)[0] == 200
    assert asked("/v1/models")[0] == 503


def test_the_emulators_own_port_serves_no_page(folder: Path) -> None:
    assert Asked(folder)("/", accept=BROWSER, port=4566)[2] == '"/"'
