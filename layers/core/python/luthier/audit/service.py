"""Keeping and reading the audit log."""

import logging
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from luthier import clock, ids
from luthier.accounts.entity import Principal
from luthier.audit.entity import Entry
from luthier.audit.store import AuditStore

logger = logging.getLogger(__name__)

# Entries among which a repetition looks for the first request: it comes soon after it.
_RECENT = 100


class AuditService:
    def __init__(self, store: AuditStore, *, days: int, now: clock.Clock = clock.now) -> None:
        self._store = store
        self._days = days
        self._now = now

    def record(self, principal: Principal, action: str, *, repeated: bool = False, **facts: Any) -> None:
        """Note what a caller did. It is done already: where the row cannot be written, the log line is the record.

        repeated: an equal request did it before. It is noted only where that one died before it could be noted.
        """
        if repeated and self._is_noted(principal.organization_id, action, facts.get("resource_id")):
            return
        self._append(principal.organization_id, principal.user_id, principal.key_id, action, facts)

    def record_operator(self, organization_id: str, operator: str, action: str, **facts: Any) -> None:
        """Note what somebody with AWS credentials did to an organization."""
        self._append(organization_id, operator, None, action, facts)

    def list(self, principal: Principal, *, limit: int = 20, after: str | None = None) -> tuple[list[Entry], bool]:
        """A page of entries, newest first, and whether older ones follow."""
        return self._store.newest(principal.organization_id, limit=limit, after=after)

    def _is_noted(self, organization_id: str, action: str, resource_id: str | None) -> bool:
        recent, _ = self._store.newest(organization_id, limit=_RECENT, after=None)
        return any((entry.action, entry.resource_id) == (action, resource_id) for entry in recent)

    def _append(
        self, organization_id: str, user_id: str, key_id: str | None, action: str, facts: dict[str, Any]
    ) -> None:
        now = self._now()
        entry = Entry(ids.new_id("audit"), organization_id, clock.iso(now), user_id, key_id, action, **facts)
        try:
            self._store.append(entry, until=int((now + timedelta(days=self._days)).timestamp()))
        except Exception:
            logger.exception("An audit entry was not written: %s", asdict(entry))
