"""Requests per minute of a key and of its organization, counted in one item per organization and minute.

One UpdateItem counts the request for both and returns both counts, so that any number of processes share one truth.
The minute is the clock's: a client may send its whole limit at the end of one and again at the start of the next.
"""

import logging
from dataclasses import dataclass
from typing import Any

from luthier import clock, table
from luthier.accounts.entity import Principal
from luthier.errors import RateLimited

logger = logging.getLogger(__name__)

_MINUTE = 60
# Read by nobody once its minute is over; TTL deletes within days.
_KEPT_SECONDS = 3600
_REMEMBERED = 1_000
_THROTTLED = ("ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException")


@dataclass(frozen=True)
class Window:
    """Where a caller stands in the current minute: the tighter of its two limits.

    of: whose limit it is, `key` or `organization`; count: requests so far, this one included;
    ends: Unix seconds; seconds_left: until then.
    """

    of: str
    limit: int
    count: int
    ends: int
    seconds_left: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit - self.count)

    def admit(self) -> None:
        """Raise RateLimited when the limit is exceeded."""
        if self.count > self.limit:
            raise RateLimited(
                f"This {self.of} may send {self.limit} requests per minute, and has.",
                details={"limit": self.limit, "of": self.of, "window_seconds": _MINUTE},
                remedy=f"Wait {self.seconds_left} seconds.",
                retry_after=self.seconds_left,
            )


class RateLimiter:
    def __init__(self, client: Any, table_name: str, now: clock.Clock = clock.now) -> None:
        self._client = client
        self._table = table_name
        self._now = now
        # Key or organization → its exceeded window. Whoever is over the limit costs no more writes in this process.
        self._exceeded: dict[str, Window] = {}

    def count(self, principal: Principal) -> Window | None:
        """Count one request of a caller; None where the table does not answer, which must not fail a request.

        Raises RateLimited where more requests arrive than the table can count: whoever floods it is over every limit.
        """
        now = int(self._now().timestamp())
        for name in (principal.key_id, principal.organization_id):
            known = self._exceeded.get(name)
            if known and known.ends > now:
                return _window(known.of, known.limit, known.count, now)
        try:
            counts = self._add(principal, now)
        except Exception as error:
            if _is_throttled(error):
                raise RateLimited(
                    "This organization sends more requests at once than can be counted.",
                    details={"of": "organization", "window_seconds": _MINUTE},
                    remedy="Wait a second, and spread the requests.",
                    retry_after=1,
                ) from error
            logger.warning("Requests of %s could not be counted.", principal.organization_id, exc_info=True)
            return None
        limits = principal.limits
        windows = (
            _window("key", limits.key_requests_per_minute, counts[_key_counter(principal)], now),
            _window("organization", limits.organization_requests_per_minute, counts["all"], now),
        )
        self._remember(principal, windows)
        return min(windows, key=lambda window: window.limit - window.count)

    def _add(self, principal: Principal, now: int) -> table.Item:
        answer = self._client.update_item(
            TableName=self._table,
            Key=table.encode(table.key(principal.organization_id, table.rate(now // _MINUTE))),
            UpdateExpression="ADD #all :one, #key :one SET #ttl = :ttl",
            ExpressionAttributeNames={"#all": "all", "#key": _key_counter(principal), "#ttl": "ttl"},
            ExpressionAttributeValues={":one": {"N": "1"}, ":ttl": {"N": str(now + _KEPT_SECONDS)}},
            ReturnValues="UPDATED_NEW",
        )
        return table.decode(answer["Attributes"])

    def _remember(self, principal: Principal, windows: tuple[Window, Window]) -> None:
        for name, window in zip((principal.key_id, principal.organization_id), windows, strict=True):
            if window.count > window.limit:
                if len(self._exceeded) >= _REMEMBERED:
                    self._exceeded.clear()
                self._exceeded[name] = window


def _is_throttled(error: Exception) -> bool:
    return getattr(error, "response", {}).get("Error", {}).get("Code") in _THROTTLED


def _key_counter(principal: Principal) -> str:
    return f"key#{principal.key_id}"


def _window(of: str, limit: int, count: int, now: int) -> Window:
    ends = (now // _MINUTE + 1) * _MINUTE
    return Window(of, limit, count, ends, ends - now)
