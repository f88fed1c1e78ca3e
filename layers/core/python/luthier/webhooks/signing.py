"""Signatures of webhooks, for the sender and for receivers: https://www.standardwebhooks.com, and a plain HMAC.

`webhook-signature` holds one `v1,<base64>` for each secret that is valid, over `<id>.<timestamp>.<body>`.
`X-Webhook-Signature` is the hex HMAC-SHA256 of the raw body, keyed with the secret as it is written. It has room for
one: while several secrets are valid it goes on with the oldest, which is the one that receivers already know.
"""

import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from functools import lru_cache

PREFIX = "whsec_"
_SECRET_BYTES = 32


class SignatureInvalid(Exception):
    """The message was not signed with the secret, or is too old to be believed."""


def new_secret() -> str:
    return PREFIX + b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def headers(event_id: str, event_type: str, timestamp: int, body: bytes, keys: Sequence[str]) -> dict[str, str]:
    """The headers of one attempt; `keys` are the valid secrets, newest first."""
    signatures = (sign(key, event_id, timestamp, body) for key in keys)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
        "X-Webhook-Signature": hmac.digest(keys[-1].encode(), body, "sha256").hex(),
        "X-Webhook-Event": event_type,
    }


def sign(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """One `v1,<base64>`."""
    return _signed(_key(secret), event_id, timestamp, body)


def _signed(key: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    signed = b"%s.%d.%s" % (event_id.encode(), timestamp, body)
    return "v1," + b64encode(hmac.digest(key, signed, "sha256")).decode()


def verify(secret: str, sent: Mapping[str, str], body: bytes, *, now: int, tolerance: int) -> None:
    """Raise SignatureInvalid unless `body` came with a signature by `secret`, at most `tolerance` seconds ago.

    Raises ValueError for a secret that is none: a fault of the receiver's settings, whatever was sent.
    """
    key = _key(secret)
    found = {name.lower(): value for name, value in sent.items()}
    try:
        event_id, timestamp = found["webhook-id"], int(found["webhook-timestamp"])
        signatures = found["webhook-signature"].split(" ")
    except (KeyError, ValueError):
        raise SignatureInvalid("A header is missing or malformed: webhook-id, -timestamp or -signature.") from None
    if abs(now - timestamp) > tolerance:
        raise SignatureInvalid(f"The message is from {timestamp}; it is {now} now. Check the clock, or drop it.")
    expected = _signed(key, event_id, timestamp, body).encode()
    # Every signature is compared, so that the time taken says nothing about which one fits.
    if not sum(hmac.compare_digest(expected, signature.encode()) for signature in signatures):
        raise SignatureInvalid("No signature fits. Check the secret, and that the raw body is verified.")


@lru_cache(maxsize=256)
def _key(secret: str) -> bytes:
    try:
        # Strictly: what is not base64 would be left out, and anybody can sign with what is left of `whsec_****`.
        key = b64decode(secret.strip().removeprefix(PREFIX), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError(f"The secret is empty, or not `{PREFIX}` and base64. Copy it from the endpoint's creation.")
    return key
