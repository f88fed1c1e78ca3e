"""Keys that nobody has, counted per source address and minute.

A key carries 256 random bits, so no guess succeeds; the bound is there because each guess costs a read. Only a failure
is counted, so a valid key costs nothing, and a key that a process knows already works on beside a guesser.
"""

import ipaddress
import logging
from typing import Any

from luthier import clock, table
from luthier.errors import RateLimited

logger = logging.getLogger(__name__)

# Per address and minute. A client whose key has expired is one of these, too.
MOST_GUESSES = 60
_MINUTE = 60
# Read by nobody once its minute is over; TTL deletes within days.
_KEPT_SECONDS = 3600
_REMEMBERED = 10_000


class Guesses:
    def __init__(self, client: Any, table_name: str, now: clock.Clock = clock.now) -> None:
        self._client = client
        self._table = table_name
        self._now = now
        # Source → Unix seconds until which it is refused. Whoever is over the bound costs no more calls here.
        self._refused: dict[str, int] = {}

    def admit(self, address: str | None) -> None:
        """Raise RateLimited for an address that has sent too many keys that nobody has."""
        now = int(self._now().timestamp())
        left = self._refused.get(_source(address), 0) - now
        if left > 0:
            raise RateLimited(
                f"{MOST_GUESSES} requests with an invalid API key came from your address within a minute.",
                details={"limit": MOST_GUESSES, "of": "address", "window_seconds": _MINUTE},
                remedy=f"Wait {left} seconds, and send a valid key.",
                retry_after=left,
            )

    def count(self, address: str | None) -> None:
        """Count a key that nobody has. The request is refused whether or not it can be counted."""
        source, now = _source(address), int(self._now().timestamp())
        if not source or self._refused.get(source, 0) > now:
            return
        try:
            guesses = self._add(source, now)
        except Exception:
            logger.warning("A guess from %s could not be counted.", source, exc_info=True)
            return
        if guesses > MOST_GUESSES:
            if len(self._refused) >= _REMEMBERED:
                self._refused.clear()
            self._refused[source] = (now // _MINUTE + 1) * _MINUTE

    def _add(self, source: str, now: int) -> int:
        answer = self._client.update_item(
            TableName=self._table,
            Key=table.encode(table.guesses(source, now // _MINUTE)),
            UpdateExpression="ADD guesses :one SET #ttl = :ttl",
            ExpressionAttributeNames={"#ttl": "ttl"},
            ExpressionAttributeValues={":one": {"N": "1"}, ":ttl": {"N": str(now + _KEPT_SECONDS)}},
            ReturnValues="UPDATED_NEW",
        )
        guesses: int = table.decode(answer["Attributes"])["guesses"]
        return guesses


def _source(address: str | None) -> str:
    """Who stands behind an address: one host, or the network that one customer has in IPv6; empty if it is none."""
    try:
        known = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    return str(known) if known.version == 4 else str(ipaddress.ip_network((int(known), 64), strict=False))
