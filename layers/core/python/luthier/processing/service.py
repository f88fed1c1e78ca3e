"""Starting processings and reading them. An equal wish is the same processing, so its result is cached by nature."""

import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from typing import Any

from luthier import clock, table
from luthier.credits.service import CreditService
from luthier.errors import NotFound
from luthier.executions import Executions
from luthier.processing.entity import FAILED, Processing, id_of
from luthier.processing.store import ProcessingStore

logger = logging.getLogger(__name__)


class ProcessingService:
    def __init__(
        self, store: ProcessingStore, executions: Executions, credits: CreditService, now: clock.Clock = clock.now
    ) -> None:
        self._store = store
        self._executions = executions
        self._credits = credits
        self._now = now

    def ensure(
        self,
        organization_id: str,
        kind: str,
        subject: str,
        base_model: str,
        spec: dict[str, Any],
        owner: str,
        context: dict[str, Any] | None = None,
    ) -> Processing:
        """The processing of this wish, started unless it is there; a failed one is started again.

        kind: a key of KINDS; subject: a model's or base model's id; spec: JSON of all that distinguishes the wish;
        context: JSON that the kind needs besides, which makes no other wish. Raises RateLimited where too many wait or
        run, InsufficientCredits where work is billed and nothing is left.
        """
        processing_id = id_of(organization_id, kind, subject, spec)

        def ensured() -> Processing:
            current = self._store.get(organization_id, processing_id)
            if current and current.status != FAILED:
                return current
            if current:
                self._credits.require(organization_id)
                new = current.again(clock.iso(self._now()), context or {}, billed=self._credits.billing)
            else:
                new = self.draw(organization_id, kind, subject, base_model, spec, owner, context)
            self._store.save(current, new)
            return new

        processing = table.until_unchanged(processing_id, ensured)
        self.start(processing)
        return processing

    def draw(
        self,
        organization_id: str,
        kind: str,
        subject: str,
        base_model: str,
        spec: dict[str, Any],
        owner: str,
        context: dict[str, Any] | None = None,
    ) -> Processing:
        """What `ensure` would make of a wish that nobody had before; written nowhere. Raises InsufficientCredits."""
        self._credits.require(organization_id)
        now, place = clock.iso(self._now()), (id_of(organization_id, kind, subject, spec), organization_id, kind)
        drawn = Processing(*place, subject, base_model, spec, owner, now, now)
        return replace(drawn, context=context or {}, billed=self._credits.billing)

    def writes(self, processing: Processing) -> list[table.Write]:
        """The writes of a processing that was drawn, for another thing's transaction; start it afterwards."""
        return self._store.writes(None, processing)

    def get(self, organization_id: str, processing_id: str) -> Processing:
        """Raises NotFound."""
        processing = self.find(organization_id, processing_id)
        if processing is None:
            raise NotFound(f"No processing {processing_id!r}.", remedy="Check the id.")
        return processing

    def find(self, organization_id: str, processing_id: str) -> Processing | None:
        return self._store.get(organization_id, processing_id)

    def peek(self, organization_id: str, kind: str, subject: str, spec: dict[str, Any]) -> Processing | None:
        """The processing of this wish, if it was ever started; starts nothing."""
        return self._store.get(organization_id, id_of(organization_id, kind, subject, spec))

    def is_news(self, failed: Processing, *, final: Collection[str] = ()) -> bool:
        """Whether nobody was told yet that it has failed, or it would fail again for a reason that is `final`.

        Whoever polls is told once, and may then ask for another attempt.
        """
        if (failed.status_reason or {}).get("code") in final:
            return True
        if failed.context.get("told"):
            return False
        with suppress(table.ConditionFailed):
            self._store.save(failed, failed.told(clock.iso(self._now())))
        return True

    def of_subject(self, organization_id: str, kind: str, subject: str, *, limit: int = 100) -> list[Processing]:
        """The newest processings of one kind on one model."""
        return self._store.of_subject(organization_id, kind, subject, limit=limit)

    def start(self, processing: Processing) -> None:
        """Start the pipeline. If that fails now, the processing stays `queued` and the sweeper starts it."""
        if processing.is_live and not processing.launch:
            try:
                self._executions.start(processing.execution_name, processing.step)
            except Exception:
                logger.warning("The pipeline of %s did not start; the sweeper will start it.", processing.id)
