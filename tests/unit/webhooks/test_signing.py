"""Signatures, as published verifiers and our own see them."""

import base64
import hmac
import json
from datetime import UTC, datetime

import openai
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from luthier.client.webhooks import SignatureInvalid, event_id, verify
from luthier.webhooks import signing

BODY = b'{"event":"training.completed","data":{"jobId":"ftjob_1"},"deliveredAt":"2026-01-01T00:00:00Z"}'


def signed(body: bytes = BODY, *secrets: str, age: int = 0) -> dict[str, str]:
    now = int(datetime.now(UTC).timestamp()) - age
    return signing.headers("evt_1", "training.completed", now, body, secrets)


def test_our_helper_the_standards_and_openais_verify_the_same_request() -> None:
    secret = signing.new_secret()
    headers = signed(BODY, secret)
    assert verify(BODY, headers, secret)["data"] == {"jobId": "ftjob_1"}
    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)
    client = openai.OpenAI(api_key="x", webhook_secret=secret)
    client.webhooks.verify_signature(BODY, headers)
    assert event_id(headers) == "evt_1"


@given(body=st.binary(max_size=200), changed=st.binary(max_size=200))
def test_no_other_body_fits_a_signature(body: bytes, changed: bytes) -> None:
    secret = signing.new_secret()
    sent = signed(body, secret)
    signing.verify(secret, sent, body, now=int(sent["webhook-timestamp"]), tolerance=0)
    if changed != body:
        with pytest.raises(SignatureInvalid):
            signing.verify(secret, sent, changed, now=int(sent["webhook-timestamp"]), tolerance=0)


def test_while_two_secrets_are_valid_both_verify() -> None:
    new, old = signing.new_secret(), signing.new_secret()
    headers = signed(BODY, new, old)
    for secret in (new, old):
        assert verify(BODY, headers, secret)
        assert Webhook(secret).verify(BODY, headers)


def test_while_two_secrets_are_valid_the_plain_header_stays_with_the_one_that_receivers_know() -> None:
    new, old = signing.new_secret(), signing.new_secret()
    assert signed(BODY, new, old)["X-Webhook-Signature"] == signed(BODY, old)["X-Webhook-Signature"]


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_****", "whsec_a", " ", "whsec_=="])
def test_a_secret_that_is_none_verifies_nothing(secret: str) -> None:
    """With an empty key everybody could sign."""
    now = int(datetime.now(UTC).timestamp())
    forged = hmac.digest(b"", b"evt_1.%d.%s" % (now, BODY), "sha256")
    sent = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(now),
        "webhook-signature": f"v1,{base64.b64encode(forged).decode()}",
    }
    with pytest.raises(ValueError, match="secret is empty"):
        verify(BODY, sent, secret)


def test_a_secret_read_from_a_file_with_a_line_break_is_the_secret() -> None:
    secret = signing.new_secret()
    assert verify(BODY, signed(BODY, secret), f"{secret}\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"webhook-id": "evt_2"}, "No signature fits"),
        ({"webhook-signature": "v1,AAAA"}, "No signature fits"),
        ({"webhook-signature": "nonsense"}, "No signature fits"),
        ({"webhook-timestamp": "yesterday"}, "malformed"),
        ({"webhook-timestamp": "1"}, "it is"),
    ],
)
def test_a_changed_header_is_refused(change: dict[str, str], said: str) -> None:
    secret = signing.new_secret()
    with pytest.raises(SignatureInvalid, match=said):
        verify(BODY, signed(BODY, secret) | change, secret)


def test_a_missing_header_an_old_request_and_another_secret_are_refused() -> None:
    secret = signing.new_secret()
    with pytest.raises(SignatureInvalid, match="missing"):
        verify(BODY, {}, secret)
    with pytest.raises(SignatureInvalid, match="Check the clock"):
        verify(BODY, signed(BODY, secret, age=301), secret)
    with pytest.raises(SignatureInvalid, match="No signature fits"):
        verify(BODY, signed(BODY, secret), signing.new_secret())


def test_the_plain_header_is_the_hex_hmac_of_the_body_under_the_secret_as_written() -> None:
    import hashlib

    secret = signing.new_secret()
    expected = hmac.new(secret.encode(), BODY, hashlib.sha256).hexdigest()
    headers = signed(BODY, secret)
    assert headers["X-Webhook-Signature"] == expected
    assert headers["X-Webhook-Event"] == "training.completed"


def test_verifying_needs_nothing_but_the_standard_library() -> None:
    import subprocess
    import sys

    check = "import luthier.client.webhooks, sys; print({'boto3', 'pydantic', 'httpx', 'asyncio'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
