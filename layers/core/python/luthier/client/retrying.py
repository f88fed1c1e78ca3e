"""Trying a request again: what passes by itself, at growing intervals, as the server says where it says so."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from luthier.client.flows import Flow, Outcome, Pause, Send

# Seconds. What takes longer is for the caller to decide: the error carries `retry_after`.
LONGEST_PAUSE = 60.0
_FIRST_PAUSE, _LONGEST_OWN = 0.5, 8.0


@dataclass(frozen=True)
class Retries:
    """`most`: tries after the first one."""

    most: int = 2
    chance: Callable[[], float] = random.random

    def send(self, request: Send) -> Flow[Outcome]:
        """The last outcome. Every try carries the same headers, the Idempotency-Key among them."""
        for number in range(self.most + 1):
            outcome: Outcome = yield request
            pause = self._pause(outcome, number)
            if pause is None or number == self.most:
                return outcome
            yield Pause(pause)
        raise AssertionError("the last try returns")

    def _pause(self, outcome: Outcome, number: int) -> float | None:
        """Seconds until the next try; None: there is no use in one."""
        # Between three quarters and the whole of it, so that many clients do not come back at once.
        own = min(_FIRST_PAUSE * 2**number, _LONGEST_OWN) * (1 - self.chance() / 4)
        if isinstance(outcome, httpx.RequestError):
            # What is left: a protocol that nobody speaks, redirects without end, an answer that cannot be decoded.
            passes = isinstance(outcome, httpx.TransportError) and not isinstance(outcome, httpx.UnsupportedProtocol)
            return own if passes else None
        told = retry_after(outcome)
        passing = outcome.status_code in (408, 429) or (outcome.status_code >= 500 and outcome.status_code != 501)
        # A conflict that time resolves says when.
        if not passing and not (outcome.status_code == 409 and told is not None):
            return None
        if told is None:
            return own
        return None if told > LONGEST_PAUSE else max(told, own)


def retry_after(response: httpx.Response) -> float | None:
    """The header's seconds, whether it counts them or names a time."""
    told = response.headers.get("Retry-After", "").strip()
    if not told:
        return None
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(told)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
