"""Verifying the webhooks that Luthier sends.

    event = verify(request.body, request.headers, secret="whsec_…")
    if event["event"] == "training.completed": ...

Answer 2xx within 15 seconds and do the work afterwards. Events can come twice and out of order: `event_id(headers)` is
the same for every try and replay of one event.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from luthier.webhooks import signing
from luthier.webhooks.signing import SignatureInvalid

__all__ = ["SignatureInvalid", "event_id", "verify"]

TOLERANCE_SECONDS = 300


def verify(
    body: bytes | str,
    headers: Mapping[str, str],
    secret: str,
    *,
    tolerance: int = TOLERANCE_SECONDS,
    now: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """The event in a request, once its signature and its age have been checked. Raises SignatureInvalid.

    Raises ValueError for an empty or malformed secret, which would let everybody sign.

    body: as it arrived; what a framework has parsed and written again has another signature.
    secret: the endpoint's, from its creation or its last rotation. After a rotation both verify for the overlap.
    """
    raw = body.encode() if isinstance(body, str) else body
    signing.verify(secret, headers, raw, now=int(now()), tolerance=tolerance)
    event: dict[str, Any] = json.loads(raw)
    return event


def event_id(headers: Mapping[str, str]) -> str:
    """The id to recognise repeats by."""
    return next(value for name, value in headers.items() if name.lower() == "webhook-id")
