"""Who is asking: the principal behind an API key, and the key itself."""

from dataclasses import dataclass

from luthier.errors import Forbidden

SCOPES = (
    "fine-tuning:read",
    "fine-tuning:write",
    "files:read",
    "files:write",
    "models:read",
    "models:write",
    "inference:write",
    "admin",
)


@dataclass(frozen=True)
class Principal:
    """The caller of one request, always within one organization."""

    organization_id: str
    user_id: str
    key_id: str
    scopes: tuple[str, ...]

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

    def principal(self) -> Principal:
        return Principal(self.organization_id, self.user_id, self.id, self.scopes)
