"""How many jobs may live at once: counters of an organization and of each key, beside its other job counters."""

from typing import Any

from luthier import table
from luthier.accounts.entity import Limits
from luthier.errors import RateLimited

_ALL = "live"


def counters(key_id: str) -> tuple[str, str]:
    """The counters of the organization and of one key, as attributes of the item that counts jobs."""
    return _ALL, f"{_ALL}#{key_id}"


def guarded(count: dict[str, Any], key_id: str, limits: Limits) -> table.Guarded:
    """The write that counts a job as living, but only while the organization and the key may have one more."""
    update = count["Update"]
    placeholders = {name: placeholder for placeholder, name in update["ExpressionAttributeNames"].items()}
    of_all, of_key = (placeholders[name] for name in counters(key_id))
    most = {":all": limits.organization_concurrent_jobs, ":key": limits.key_concurrent_jobs}
    free = [_below(counter, name, most[name]) for counter, name in ((of_all, ":all"), (of_key, ":key"))]
    condition = {
        "ConditionExpression": " AND ".join(free),
        "ExpressionAttributeValues": update["ExpressionAttributeValues"] | table.encode(most),
    }
    return table.Guarded({"Update": update | condition}, _too_many(limits))


def _below(counter: str, placeholder: str, limit: int) -> str:
    # Whoever may have none has not started one either: there the missing counter must not count as free.
    return f"(attribute_not_exists({counter}) OR {counter} < {placeholder})" if limit else f"{counter} < {placeholder}"


def _too_many(limits: Limits) -> RateLimited:
    of_key, of_all = limits.key_concurrent_jobs, limits.organization_concurrent_jobs
    return RateLimited(
        f"This key may have {of_key} jobs waiting or running, its organization {of_all}; one of both is reached.",
        code="concurrent_jobs_exceeded",
        details={"key_limit": of_key, "organization_limit": of_all},
        remedy="Wait until a job ends, or stop one.",
        retry_after=60,
    )
