"""Issuing API keys, recognising, rotating and revoking them."""

import hashlib
import hmac
import logging
import re
import secrets
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any, NoReturn

from luthier import clock, ids, table
from luthier.accounts.entity import (
    LONGEST_KEY_NAME,
    LONGEST_USER_ID,
    SCOPES,
    ApiKey,
    Limits,
    Organization,
    Principal,
)
from luthier.accounts.guesses import Guesses
from luthier.accounts.store import KeyStore
from luthier.errors import Conflict, InvalidRequest, NotFound, Unauthenticated
from luthier.idempotency import Claim, Repetition

logger = logging.getLogger(__name__)

KEY_PREFIX = "lt_"
# How long a process may go on trusting a key that was revoked elsewhere, in seconds.
TRUST_SECONDS = 30
_TRUSTED_KEYS = 1_000
# `last_used_at` is at most so much too old; writing it at every use would cost a write per request.
_USE_NOTED_EVERY = timedelta(minutes=10)


def digest(raw_key: str) -> str:
    """SHA-256 (hex) of a key. Keys carry 256 random bits, so a slow hash would add nothing."""
    return hashlib.sha256(raw_key.encode()).hexdigest()


_ORGANIZATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class AccountService:
    """limits: the platform's, for keys and organizations that have none of their own."""

    def __init__(
        self,
        store: KeyStore,
        now: clock.Clock = clock.now,
        limits: Limits | None = None,
        guesses: Guesses | None = None,
    ) -> None:
        self._store = store
        self._claims = store.claims(now)
        self._now = now
        self._guesses = guesses
        self._limits = limits or Limits()
        self._trusted: dict[str, tuple[float, ApiKey, Limits]] = {}

    def issue_key(
        self,
        *,
        organization_id: str,
        user_id: str,
        name: str,
        scopes: tuple[str, ...],
        expires_at: str | None = None,
        requests_per_minute: int | None = None,
        concurrent_jobs: int | None = None,
        claim: Claim | None = None,
    ) -> tuple[ApiKey, str]:
        """A new key and its secret. The secret is returned here and nowhere else.

        Raises table.ConditionFailed when the claim is taken.
        """
        _check_organization(organization_id)
        _check_scopes(scopes)
        _check_text("user_id", user_id, LONGEST_USER_ID)
        _check_text("name", name, LONGEST_KEY_NAME)
        key, raw = self._draw(
            organization_id=organization_id,
            user_id=user_id,
            name=name,
            scopes=tuple(dict.fromkeys(scopes)),
            expires_at=None if expires_at is None else self._expiry(expires_at),
            requests_per_minute=requests_per_minute,
            concurrent_jobs=concurrent_jobs,
        )
        self._store.put(key, claim)
        return key, raw

    def create_key(
        self, principal: Principal, fields: dict[str, Any], *, idempotency_key: str | None = None
    ) -> tuple[ApiKey, str]:
        """`issue_key` in the caller's organization, and in the caller's name where the fields give no other."""
        facts = fields | {"user_id": fields["user_id"] or principal.user_id, "scopes": tuple(fields["scopes"])}
        claim = Repetition(idempotency_key).claim(principal, "api_keys.create", fields)
        return self._claims.once(
            claim,
            lambda: self.issue_key(organization_id=principal.organization_id, claim=claim, **facts),
            _shown_before,
        )

    def list_keys(
        self, organization_id: str, *, limit: int = 20, after: str | None = None
    ) -> tuple[list[ApiKey], bool]:
        """A page of keys, newest first, and whether older ones follow."""
        return self._store.newest(organization_id, limit=limit, after=after)

    def get_key(self, organization_id: str, key_id: str) -> ApiKey:
        key = self._store.get(organization_id, key_id)
        if key is None:
            raise NotFound(f"No API key {key_id!r}.", param="id", remedy="List the keys to find its id.")
        return key

    def rotate_own_key(
        self, principal: Principal, key_id: str, *, overlap_seconds: int, idempotency_key: str | None = None
    ) -> tuple[ApiKey, str]:
        """`rotate_key` in the caller's organization."""
        facts = {"id": key_id, "overlap_seconds": overlap_seconds}
        claim = Repetition(idempotency_key).claim(principal, "api_keys.rotate", facts)
        return self._claims.once(
            claim,
            lambda: self.rotate_key(principal.organization_id, key_id, overlap_seconds=overlap_seconds, claim=claim),
            _shown_before,
        )

    def rotate_key(
        self, organization_id: str, key_id: str, *, overlap_seconds: int, claim: Claim | None = None
    ) -> tuple[ApiKey, str]:
        """A new key that may do the same; the old one goes on working for `overlap_seconds`.

        Other processes refuse it up to TRUST_SECONDS later.
        """

        def rotated() -> tuple[ApiKey, str]:
            old = self.get_key(organization_id, key_id)
            self._require_rotatable(old)
            end = clock.iso(self._now() + timedelta(seconds=overlap_seconds))
            new, raw = self._draw(**{name: getattr(old, name) for name in _INHERITED}, expires_at=self._renewed(old))
            ending = replace(old, expires_at=min(end, old.expires_at or end), replaced_by=new.id)
            self._store.replace(old, replace(ending, version=old.version + 1), new, claim)
            self._trusted.pop(old.digest, None)
            return new, raw

        return table.until_unchanged(key_id, rotated)

    def revoke_key(self, organization_id: str, key_id: str) -> ApiKey:
        """End a key for good. Every process refuses it within TRUST_SECONDS; repeating it changes nothing."""

        def revoked() -> ApiKey:
            old = self.get_key(organization_id, key_id)
            if old.revoked_at:
                return old
            new = replace(old, revoked_at=clock.iso(self._now()), version=old.version + 1)
            self._store.replace(old, new)
            self._trusted.pop(old.digest, None)
            return new

        return table.until_unchanged(key_id, revoked)

    def require_organization(self, organization_id: str) -> None:
        """Raise NotFound for an organization that never had a key: it begins with its first one."""
        keys, _ = self._store.newest(organization_id, limit=1, after=None)
        if not keys:
            raise NotFound(
                f"No organization {organization_id!r}.",
                remedy=f"Check its name, or begin it with `luthier keys create --org {organization_id}`.",
            )

    def limit_organization(self, organization: Organization) -> None:
        """Give an organization limits of its own; None stands for the platform's. Raises NotFound."""
        self.require_organization(organization.id)
        self._store.put_organization(organization)

    def authenticate(self, raw_key: str, address: str | None = None) -> Principal:
        """The principal behind a key: two reads, none while the key is trusted.

        address: where it came from. Raises Unauthenticated, and RateLimited where too many wrong keys came from there.
        """
        found = self._recognise(digest(raw_key), address) if raw_key else None
        if found is None or not self._is_valid(found[0]):
            if self._guesses and raw_key:
                self._guesses.count(address)
            raise Unauthenticated(
                "Invalid or missing API key.",
                remedy="Send a valid key as `Authorization: Bearer <key>` or `X-API-Key: <key>`.",
            )
        key, limits = found
        return key.principal(limits)

    def _is_valid(self, key: ApiKey) -> bool:
        return not key.revoked_at and (not key.expires_at or clock.parse(key.expires_at) > self._now())

    def _recognise(self, hashed: str, address: str | None) -> tuple[ApiKey, Limits] | None:
        kept = self._trusted.get(hashed)
        if kept and time.monotonic() - kept[0] < TRUST_SECONDS:
            return kept[1:]
        if self._guesses:
            self._guesses.admit(address)
        since, key = time.monotonic(), self._store.find(hashed)
        self._trusted.pop(hashed, None)
        if key is None or not hmac.compare_digest(key.digest, hashed):
            return None
        if len(self._trusted) >= _TRUSTED_KEYS:
            self._trusted.clear()
        limits = key.limits(self._store.organization(key.organization_id), self._limits)
        self._trusted[hashed] = (since, key, limits)
        self._note_use(key)
        return key, limits

    def _note_use(self, key: ApiKey) -> None:
        now = self._now()
        if not self._is_valid(key) or (key.last_used_at and now - clock.parse(key.last_used_at) < _USE_NOTED_EVERY):
            return
        try:
            self._store.note_use(key, clock.iso(now))
        except Exception:
            # Nobody's request should fail because a statistic could not be written.
            logger.warning("The last use of %s could not be noted.", key.id, exc_info=True)

    def _draw(self, **facts: Any) -> tuple[ApiKey, str]:
        raw = KEY_PREFIX + secrets.token_urlsafe(32)
        now = clock.iso(self._now())
        return ApiKey(id=ids.new_id("key"), prefix=raw[:8], digest=digest(raw), created_at=now, **facts), raw

    def _expiry(self, expires_at: str) -> str:
        """The time as it is stored. Raises InvalidRequest for one that has passed, or is none."""
        try:
            moment = clock.parse(expires_at)
            stored = clock.iso(moment)
            fault = None if moment > self._now() else "which has passed"
        except ValueError:
            fault = "which is no ISO 8601 timestamp"
        except OverflowError:
            fault = "which lies beyond the calendar"
        if fault:
            raise InvalidRequest(
                f"expires_at is {expires_at!r}, {fault}.",
                param="expires_at",
                remedy="Send a future time such as 2030-01-01T00:00:00Z, or none for a key that does not expire.",
            )
        return stored

    def _renewed(self, key: ApiKey) -> str | None:
        """When the successor of a key expires: it lives as long as its predecessor was meant to."""
        if key.expires_at is None:
            return None
        try:
            return clock.iso(self._now() + (clock.parse(key.expires_at) - clock.parse(key.created_at)))
        except OverflowError:  # meant for ever, as 9999-12-31 is
            return key.expires_at

    def _require_rotatable(self, key: ApiKey) -> None:
        if key.revoked_at or key.replaced_by or not self._is_valid(key):
            state = "revoked" if key.revoked_at else "replaced" if key.replaced_by else "expired"
            raise Conflict(
                f"Key {key.id} is {state}; only an active key can be rotated.",
                details={"current": state, "required": ["active"]},
                remedy="Rotate the key that took its place." if key.replaced_by else "Create a new key.",
            )


def _shown_before(key_id: str) -> NoReturn:
    """Refuse to answer a repetition, which could only be answered with a secret that is kept nowhere."""
    raise Conflict(
        f"This request was answered before: it made key {key_id}.",
        code="key_shown_once",
        details={"id": key_id},
        remedy="If the answer got lost, rotate that key to get a new secret.",
    )


_INHERITED = ("organization_id", "user_id", "name", "scopes", "requests_per_minute", "concurrent_jobs")


def _check_organization(organization_id: str) -> None:
    if not _ORGANIZATION.fullmatch(organization_id):
        raise InvalidRequest(
            f"{organization_id!r} cannot name an organization: it becomes part of paths.",
            param="organization_id",
            remedy="Use letters, digits, dots, dashes and underscores, at most 64, the first one a letter or digit.",
        )


def _check_scopes(scopes: tuple[str, ...]) -> None:
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        raise InvalidRequest(
            f"Unknown scopes: {', '.join(unknown)}." if unknown else "A key needs at least one scope.",
            param="scopes",
            remedy=f"Choose from {', '.join(SCOPES)}.",
        )


def _check_text(param: str, text: str, longest: int) -> None:
    if not 1 <= len(text) <= longest:
        raise InvalidRequest(
            f"{param} has {len(text)} characters; it must have 1 to {longest}.",
            param=param,
            remedy="Send a name by which people know it.",
        )
