"""A webhook as it was sent, posted once more to this machine."""

import json
import time
from typing import TYPE_CHECKING, Any

from luthier.cli.stop import Stop
from luthier.webhooks import signing

if TYPE_CHECKING:
    from luthier.client.api.webhooks_deliveries import WebhookDeliveryDetail

_TIMEOUT_SECONDS = 15.0
# What the sender of each request says itself.
_OWN = ("host", "content-length", "connection", "webhook-timestamp", "webhook-signature", "x-webhook-signature")


class Forwarder:
    """secret: the endpoint's; None: nothing is signed. Raises Stop where it is none."""

    def __init__(self, url: str, secret: str | None) -> None:
        self.url, self._secret = url, secret
        try:
            if secret is not None:
                signing.sign(secret, "", 0, b"")
        except ValueError as error:
            raise Stop(str(error), "Give the one that `luthier webhooks create` has printed.") from None

    def forward(self, delivery: "WebhookDeliveryDetail") -> dict[str, Any]:
        """{id, event, status_code, milliseconds, error}: what came of it."""
        import httpx

        # The same bytes as the platform's, whose signature says so.
        body = json.dumps(delivery.request.body, separators=(",", ":"), ensure_ascii=False).encode()
        sent = {name: value for name, value in delivery.request.headers.items() if name.lower() not in _OWN}
        sent |= self._signature(delivery, body)
        began = time.perf_counter()
        status, failure = None, None
        try:
            # No proxy: it is this machine.
            post = httpx.post(self.url, content=body, headers=sent, timeout=_TIMEOUT_SECONDS, trust_env=False)
            status = post.status_code
        except httpx.HTTPError as error:
            failure = f"{self.url} did not answer: {error or type(error).__name__}"
        took = round((time.perf_counter() - began) * 1_000)
        known = {"id": delivery.id, "event": delivery.event}
        return {**known, "status_code": status, "milliseconds": took, "error": failure}

    def _signature(self, delivery: "WebhookDeliveryDetail", body: bytes) -> dict[str, str]:
        now = int(time.time())
        if self._secret is None:
            return {"webhook-id": delivery.id, "webhook-timestamp": str(now), "X-Webhook-Event": delivery.event}
        return signing.headers(delivery.id, delivery.event, now, body, [self._secret])
