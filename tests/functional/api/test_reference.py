"""GET /docs: the reference as one page, which runs its own scripts and asks nobody else for anything."""

import base64
import hashlib
import json
from html.parser import HTMLParser
from typing import Any

import pytest

from functions.api import account
from tests.gateway import Answer, Gateway, proxy_event

# What a function's answer may have, as Lambda carries it.
LAMBDA_BYTES = 6_291_556


class Page(HTMLParser):
    """What stands in each `script` and `style`, and every address that an attribute names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.held: list[tuple[dict[str, str | None], str]] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]
        if tag in ("script", "style"):
            self.held.append(({"tag": tag, **dict(attrs)}, ""))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem:
            attributes, text = self.held.pop()
            self.held.append((attributes, text + data))

    def of(self, tag: str, kind: str | None = None) -> list[str]:
        return [text for attributes, text in self.held if (attributes["tag"], attributes.get("type")) == (tag, kind)]


@pytest.fixture
def answer(api: Gateway) -> Answer:
    return api.stranger().get("/docs")


def test_anybody_may_read_it_and_it_shows_the_document_of_this_api(api: Gateway, answer: Answer) -> None:
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    [document] = Page(answer.text).of("script", "application/json")
    assert json.loads(document) == api.stranger().get("/openapi.json").json()


def test_it_names_no_address_of_anybody(answer: Answer) -> None:
    assert Page(answer.text).addresses == ["data:,"]


def test_its_policy_allows_its_own_scripts_and_style_and_nothing_from_elsewhere(answer: Answer) -> None:
    rows = [row.split(" ") for row in answer.headers["content-security-policy"].split("; ")]
    policy: dict[str, Any] = {name: allowed for name, *allowed in rows}
    page = Page(answer.text)
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == list(map(sha256, page.of("script")))
    assert policy["style-src"] == list(map(sha256, page.of("style")))
    assert policy["connect-src"] == ["'self'"]
    assert "http" not in answer.headers["content-security-policy"]


def test_lambda_can_carry_it(api: Gateway) -> None:
    carried = json.dumps(account.handler(proxy_event("GET", "/docs", None, {}), None))
    assert len(carried) < LAMBDA_BYTES


def sha256(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
