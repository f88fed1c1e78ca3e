"""Putting models away, bringing them back, and deleting them for good: on request, or when their time is over."""

import logging
import re
from datetime import timedelta
from itertools import islice
from typing import Any

from luthier import clock, objects, table
from luthier.accounts.entity import Principal
from luthier.aliases.store import AliasStore
from luthier.errors import Conflict, InvalidRequest
from luthier.events.entity import Event, event
from luthier.jobs import entity as jobs
from luthier.jobs.store import JobStore
from luthier.models.entity import ARCHIVED, READY, Model, job_of_id
from luthier.models.remains import Remains, RemainsStore
from luthier.models.service import ModelService
from luthier.models.store import ModelStore, Moved
from luthier.processing.removal import ProcessingRemoval

logger = logging.getLogger(__name__)

DEFAULT_PERIOD, MOST_DAYS = "90d", 3650
_PERIOD = re.compile(r"([0-9]{1,4})([dwm])")
_OF_CHECKPOINT = re.compile(r"/checkpoint-[0-9]+/")
_DAYS = {"d": 1, "w": 7, "m": 30}
# A model that is still needed when its time is over is looked at again after this.
_LATER = timedelta(hours=1)
_SWEPT = 100


class RetentionService:
    def __init__(
        self,
        models: ModelService,
        store: ModelStore,
        remains: RemainsStore,
        jobs: JobStore,
        aliases: AliasStore,
        processings: ProcessingRemoval,
        s3: Any,
        now: clock.Clock = clock.now,
    ) -> None:
        self._models = models
        self._store = store
        self._remains = remains
        self._jobs = jobs
        self._aliases = aliases
        self._processings = processings
        self._s3 = s3
        self._now = now

    def archive(
        self, principal: Principal, name: str, *, reason: str | None = None, retention_period: str | None = None
    ) -> Model:
        """Put a model away: it stays as it is, cannot be deployed, and is deleted when the period is over.

        Raises Conflict for a model that is archived already or has deployments, InvalidRequest for the period.
        """
        period = DEFAULT_PERIOD if retention_period is None else retention_period
        kept = _span(period)

        def archived() -> Model:
            old = self._models.get(principal, name)
            if old.status == ARCHIVED:
                raise _conflict(old, "archived", [READY], "It is archived already.")
            _require_undeployed(old, "archived")
            moment = self._now()
            now, ends = clock.iso(moment), clock.iso(moment + kept)
            facts = {"reason": reason, "at": now, "retention_period": period, "expires_at": ends}
            new = old.put_away(now, facts | {"due": ends, "kept_because": None})
            return self._store.save(old, new, _fact("model.archived", new.organization_id, new, now, deletesAt=ends))

        return table.until_unchanged(name, archived, Moved)

    def restore(self, principal: Principal, name: str) -> Model:
        """Bring an archived model back. Raises Conflict for one that is not archived, or whose time is over."""

        def restored() -> Model:
            old = self._models.get(principal, name)
            if old.archived is None:
                raise _conflict(old, "restored", [ARCHIVED], "It needs no restoring.")
            now = clock.iso(self._now())
            if now >= old.archived["expires_at"]:
                raise Conflict(
                    f"Model {old.id} could be restored until {old.archived['expires_at']}; it is being deleted.",
                    details={"current": "expired", "required": [ARCHIVED], "expiresAt": old.archived["expires_at"]},
                    remedy="Train another.",
                )
            new = old.brought_back(now)
            return self._store.save(old, new, _fact("model.restored", new.organization_id, new, now))

        return table.until_unchanged(name, restored, Moved)

    def delete(self, principal: Principal, name: str) -> Remains:
        """Delete a model for good. It is gone at once; its objects go with the next sweep.

        Raises Conflict for a model that is deployed or needed.
        """

        def deleted() -> Remains:
            model = self._models.get(principal, name)
            _require_undeployed(model, "deleted")
            if users := self._needed_by(model):
                raise Conflict(
                    f"Model {model.id} is needed by {_listed(users)}.",
                    details={"current": model.status, "usedBy": users},
                    remedy="Let those jobs and processings end, or delete the jobs, and move those aliases.",
                )
            return self._remains.delete(model, clock.iso(self._now()))

        return table.until_unchanged(name, deleted, Moved)

    def sweep(self) -> dict[str, list[str]]:
        """Delete what is due: the models whose time is over, and what deleted models have left.

        `{"deleted": ids, "kept": ids}`; kept are those that something still needs.
        """
        done: dict[str, list[str]] = {"deleted": [], "kept": []}
        for due in islice(self._remains.due(clock.iso(self._now())), _SWEPT):
            what = due.id if isinstance(due, Remains) else due[1]
            try:
                remains = due if isinstance(due, Remains) else self._expired(*due)
                if remains is None:
                    done["kept"].append(what)
                elif self._finish(remains):
                    done["deleted"].append(what)
            except Exception:
                # One that cannot be deleted must not hold back the others; it comes up again.
                logger.exception("Model %s was not deleted.", what)
        return done

    def _expired(self, organization_id: str, model_id: str) -> Remains | None:
        """The remains of a model whose time is over; None if it is kept."""

        def looked() -> Remains | None:
            model, moment = self._store.get(organization_id, model_id), self._now()
            if model is None or model.archived is None or clock.iso(moment) < model.archived["expires_at"]:
                return None
            if users := [*model.deployments, *self._needed_by(model)]:
                later = {"due": clock.iso(moment + _LATER), "kept_because": f"It is needed by {_listed(users)}."}
                self._store.save(model, model.put_away(model.updated_at, model.archived | later))
                return None
            return self._remains.delete(model, clock.iso(moment))

        return table.until_unchanged(model_id, looked, Moved)

    def _finish(self, remains: Remains) -> bool:
        """Delete processings and objects, then the record of them: whoever dies in between is followed by the next
        sweep. False when that was somebody else, or has to wait for a processing that began just before the deletion.
        """
        if not self._processings.remove(remains.organization_id, remains.id):
            return False
        for uri in remains.prefixes:
            bucket, prefix = objects.parts(uri)
            # Of this folder only, not of another whose name goes on from it.
            objects.delete_under(self._s3, bucket, f"{prefix.rstrip('/')}/")
        if remains.checkpoints:
            objects.delete_under(self._s3, *objects.parts(remains.checkpoints), only=_OF_CHECKPOINT)
        now = clock.iso(self._now())
        return self._remains.forget(remains, _fact("model.deleted", remains.organization_id, remains, now))

    def _needed_by(self, model: Model) -> list[str]:
        """Ids of the jobs that trained from it and may run again, of its own job while it has not ended, of
        processings at work, of whatever else has noted a use; and names of aliases."""
        org = model.organization_id
        own = self._jobs.get(org, job_of_id(model.id)) if model.job_id else None
        users = [own.id] if own and own.is_live else []
        users += [user for user in self._store.users(org, model.id) if self._is_at_work(org, user)]
        users += self._processings.at_work(org, model.id)
        return users + self._aliases.references(org, model.id, self._now())

    def _is_at_work(self, organization_id: str, user_id: str) -> bool:
        if not user_id.startswith("ftjob_"):
            return True
        # One that failed or was stopped can be restarted, and then reads the model.
        job = self._jobs.get(organization_id, user_id)
        return job is not None and job.status != jobs.COMPLETED


def _span(period: str) -> timedelta:
    found = _PERIOD.fullmatch(period)
    days = int(found[1]) * _DAYS[found[2]] if found else 0
    if not 1 <= days <= MOST_DAYS:
        raise InvalidRequest(
            f"retention_period is {period[:20]!r}; it must be a number of days (90d), weeks (12w) or months of 30 days "
            f"(3m), 1 to {MOST_DAYS} days in all.",
            param="retention_period",
            remedy=f"Leave it out for {DEFAULT_PERIOD}.",
        )
    return timedelta(days=days)


def _require_undeployed(model: Model, wanted: str) -> None:
    if model.deployments:
        raise _conflict(model, wanted, [READY], "Delete its deployments first.", deployments=list(model.deployments))


def _conflict(model: Model, wanted: str, required: list[str], remedy: str, **more: list[str]) -> Conflict:
    states = sorted({facts["status"] for facts in model.deployments.values()})
    current = model.status if not states or model.active_deployments else states[0]
    return Conflict(
        f"Model {model.id} is {current}; it can be {wanted} only when it is {' or '.join(required)}.",
        details={"current": current, "required": required} | more,
        remedy=remedy,
    )


def _listed(users: list[str]) -> str:
    shown = ", ".join(users[:5])
    return shown if len(users) <= 5 else f"{shown} and {len(users) - 5} others"


def _fact(name: str, organization_id: str, of: Model | Remains, now: str, **more: str) -> Event:
    return event(name, organization_id, now, {"modelId": of.id, "name": of.name} | more)
