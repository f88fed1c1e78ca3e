"""Who is asking: the principal behind an API key, the key itself, and how much both may do."""

from dataclasses import dataclass, replace

from luthier.errors import Forbidden

SCOPES = (
    "fine-tuning:read",
    "fine-tuning:write",
    "files:read",
    "files:write",
    "models:read",
    "models:write",
    "inference:write",
    "webhooks:read",
    "webhooks:write",
    "billing:read",
    "admin",
)


@dataclass(frozen=True)
class Limits:
    """What a key, and all keys of its organization together, may send and start."""

    key_requests_per_minute: int = 600
    organization_requests_per_minute: int = 1200
    key_concurrent_jobs: int = 20
    organization_concurrent_jobs: int = 50


# What a key or an organization may be given instead. The requests of an organization are counted in one item, which
# DynamoDB writes at most 1,000 times a second: half of that, for no client spreads its requests evenly.
MOST_REQUESTS_PER_MINUTE, MOST_CONCURRENT_JOBS = 30_000, 10_000
LONGEST_KEY_NAME, LONGEST_USER_ID = 200, 240
LONGEST_OVERLAP_SECONDS = 30 * 24 * 3600
_NO_END = 2**53
UNLIMITED = Limits(_NO_END, _NO_END, _NO_END, _NO_END)


@dataclass(frozen=True)
class Organization:
    """A tenant's own limits, where they differ from the platform's."""

    id: str
    requests_per_minute: int | None = None
    concurrent_jobs: int | None = None


@dataclass(frozen=True)
class Principal:
    """The caller of one request, always within one organization."""

    organization_id: str
    user_id: str
    key_id: str
    scopes: tuple[str, ...]
    limits: Limits = Limits()

    def require(self, scope: str) -> None:
        """Raise Forbidden unless the key carries `scope` (or `admin`, which covers every scope)."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise Forbidden(
                f"This key lacks the scope {scope}.",
                details={"required": scope, "present": list(self.scopes)},
                remedy=f"Use a key that was issued with {scope}.",
            )


@dataclass(frozen=True)
class ApiKey:
    """An API key at rest: the secret itself is never stored, only its SHA-256 (hex)."""

    id: str
    organization_id: str
    user_id: str
    name: str
    prefix: str
    digest: str
    scopes: tuple[str, ...]
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None
    last_used_at: str | None = None
    # The id of the key that takes its place; this one works until `expires_at`.
    replaced_by: str | None = None
    requests_per_minute: int | None = None
    concurrent_jobs: int | None = None
    # Counts writes, except those of last_used_at.
    version: int = 1

    def limits(self, organization: Organization, platform: Limits) -> Limits:
        """The platform's limits, but the key's and the organization's own where they have some."""
        own = {
            "key_requests_per_minute": self.requests_per_minute,
            "key_concurrent_jobs": self.concurrent_jobs,
            "organization_requests_per_minute": organization.requests_per_minute,
            "organization_concurrent_jobs": organization.concurrent_jobs,
        }
        return replace(platform, **{name: limit for name, limit in own.items() if limit is not None})

    def principal(self, limits: Limits) -> Principal:
        return Principal(self.organization_id, self.user_id, self.id, self.scopes, limits)
