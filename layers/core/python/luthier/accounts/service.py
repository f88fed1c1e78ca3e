"""Issuing API keys and recognising them."""

import hashlib
import hmac
import secrets
import time

from luthier import clock, ids
from luthier.accounts.entity import SCOPES, ApiKey, Principal
from luthier.accounts.store import KeyStore
from luthier.errors import InvalidRequest, Unauthenticated

KEY_PREFIX = "lt_"
# How long a process may go on trusting a key that was revoked elsewhere, in seconds.
TRUST_SECONDS = 30
_TRUSTED_KEYS = 1_000


def digest(raw_key: str) -> str:
    """SHA-256 (hex) of a key. Keys carry 256 random bits, so a slow hash would add nothing."""
    return hashlib.sha256(raw_key.encode()).hexdigest()


class AccountService:
    def __init__(self, store: KeyStore, now: clock.Clock = clock.now) -> None:
        self._store = store
        self._now = now
        self._trusted: dict[str, tuple[float, ApiKey]] = {}

    def issue_key(
        self, *, organization_id: str, user_id: str, name: str, scopes: tuple[str, ...], expires_at: str | None = None
    ) -> tuple[ApiKey, str]:
        """A new key and its secret. The secret is returned here and nowhere else."""
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise InvalidRequest(
                f"Unknown scopes: {', '.join(unknown)}." if unknown else "A key needs at least one scope.",
                param="scopes",
                remedy=f"Choose from {', '.join(SCOPES)}.",
            )
        raw = KEY_PREFIX + secrets.token_urlsafe(32)
        key = ApiKey(
            id=ids.new_id("key"),
            organization_id=organization_id,
            user_id=user_id,
            name=name,
            prefix=raw[:8],
            digest=digest(raw),
            scopes=scopes,
            created_at=clock.iso(self._now()),
            expires_at=expires_at,
        )
        self._store.put(key)
        return key, raw

    def authenticate(self, raw_key: str) -> Principal:
        """The principal behind a key: at most one read, none while the key is trusted."""
        key = self._recognise(digest(raw_key)) if raw_key else None
        if key is None or key.revoked_at or (key.expires_at and clock.parse(key.expires_at) <= self._now()):
            raise Unauthenticated(
                "Invalid or missing API key.",
                remedy="Send a valid key as `Authorization: Bearer <key>` or `X-API-Key: <key>`.",
            )
        return key.principal()

    def _recognise(self, hashed: str) -> ApiKey | None:
        since, key = self._trusted.get(hashed, (0.0, None))
        if key and time.monotonic() - since < TRUST_SECONDS:
            return key
        key = self._store.find(hashed)
        self._trusted.pop(hashed, None)
        if key is None or not hmac.compare_digest(key.digest, hashed):
            return None
        if len(self._trusted) >= _TRUSTED_KEYS:
            self._trusted.clear()
        self._trusted[hashed] = (time.monotonic(), key)
        return key
