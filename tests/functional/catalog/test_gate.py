import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import boto3
import moto
import pytest

from luthier.catalog import service as catalog
from luthier.errors import InvalidRequest
from tests.factories import SETTINGS, Platform

GATED = "llama-3.1-8b"
TOKEN = "hf_good"


class Hub(BaseHTTPRequestHandler):
    """A hub that gives the gated model only to the good token."""

    def do_HEAD(self) -> None:
        welcome = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        self.send_response(200 if welcome else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def a_platform(hub: str, token: str | None) -> Platform:
    secret = ""
    if token:
        secret = "hub"
        boto3.client("secretsmanager").create_secret(Name=secret, SecretString=token)
    return Platform(replace(SETTINGS, hub_url=hub, hub_token_secret=secret))


@pytest.mark.parametrize("token", [None, "hf_bad"])
def test_a_gated_model_is_refused_at_create_with_what_to_do(hub: str, token: str | None) -> None:
    with moto.mock_aws():
        with pytest.raises(InvalidRequest) as refused:
            a_platform(hub, token).job(base_model=GATED)
        assert refused.value.code == "gated_model"
        assert "licence" in (refused.value.remedy or "")


def test_a_token_that_may_read_the_model_opens_the_gate(hub: str) -> None:
    with moto.mock_aws():
        assert a_platform(hub, TOKEN).job(base_model=GATED).status == "queued"


def test_an_ungated_model_does_not_ask_the_hub(hub: str) -> None:
    with moto.mock_aws():
        assert a_platform(hub, None).job(base_model="smollm2-135m-instruct").status == "queued"


def test_a_model_that_we_have_already_does_not_ask_the_hub(hub: str) -> None:
    with moto.mock_aws():
        platform, model = a_platform(hub, None), catalog.find_base_model(GATED)
        manifest = f"{model.id}/{model.revision}/manifest.json"
        platform.s3.put_object(Bucket=SETTINGS.base_models_bucket, Key=manifest, Body=b"{}")
        assert platform.job(base_model=GATED).status == "queued"


def test_a_hub_that_cannot_be_reached_does_not_stop_a_create(platform: Platform) -> None:
    assert platform.job(base_model=GATED).status == "queued"
