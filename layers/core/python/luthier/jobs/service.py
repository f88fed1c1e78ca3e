"""What people do with jobs: create, look, stop, pause, restart, resume, delete, estimate."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from luthier import clock, idempotency, table
from luthier.accounts.entity import Principal
from luthier.catalog import service as catalog
from luthier.catalog.entity import Estimate
from luthier.credits.service import CreditService, CreditsMoved
from luthier.errors import Conflict, InvalidRequest, NotFound
from luthier.events.entity import Event, event
from luthier.jobs import budget, entity, hyperparameters, listing, outcome, timeline
from luthier.jobs.checkpoints import Checkpoint
from luthier.jobs.curve import Curve
from luthier.jobs.draft import JobDrafts
from luthier.jobs.entity import Job, JobRequest, Step
from luthier.jobs.listing import Page
from luthier.jobs.logs import MAX_LINES, JobLogs, LogLine
from luthier.jobs.pipeline import TrainingPipeline
from luthier.jobs.runs import Runs
from luthier.jobs.storage import JobStorage
from luthier.jobs.store import Counts, JobStore
from luthier.jobs.timeline import Moment

logger = logging.getLogger(__name__)
_AT_REST = (*entity.TERMINAL, entity.PAUSED)
_RESTARTABLE = (entity.STOPPED, entity.FAILED, entity.PAUSED)


class JobService:
    def __init__(
        self,
        store: JobStore,
        drafts: JobDrafts,
        runs: Runs,
        pipeline: TrainingPipeline,
        storage: JobStorage,
        logs: JobLogs,
        claims: idempotency.Claims,
        credits: CreditService,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._drafts = drafts
        self._runs = runs
        self._pipeline = pipeline
        self._storage = storage
        self._logs = logs
        self._claims = claims
        self._credits = credits
        self._now = now

    def create(
        self,
        principal: Principal,
        request: JobRequest,
        *,
        route: str = "jobs",
        idempotency_key: str | None = None,
        retry_count: int | None = None,
        accept: Callable[[Job], None] = lambda drawn: None,
    ) -> Job:
        """A new queued job, its pipeline started. Everything is checked before anything is written.

        route: where the client asked; the same key on two routes is two keys;
        retry_count: how often the client says it has sent this request before (`x-stainless-retry-count`);
        accept: raises where the job, resolved and not yet written, is not what is wanted.
        """
        repetition = idempotency.Repetition(idempotency_key, retry_count)
        claim = repetition.claim(principal, f"{route}.create", asdict(request))
        job = self._claims.once(
            claim,
            lambda: self._make(principal, request, claim, accept),
            lambda made: self.get(principal, made),
            over=lambda job: job.status in entity.TERMINAL,
        )
        self._start(job)
        return job

    def get(self, principal: Principal, job_id: str) -> Job:
        job = self._store.get(principal.organization_id, job_id)
        if job is None:
            raise NotFound(f"No fine-tuning job {job_id!r}.", param="id", remedy="List the jobs to find its id.")
        return job

    def list(self, principal: Principal, **query: Any) -> Page:
        """One page of jobs; `luthier.jobs.listing.page` says what each query costs."""
        return listing.page(self._store, principal.organization_id, **query)

    def newest(
        self,
        principal: Principal,
        *,
        limit: int,
        after: str | None = None,
        metadata: Mapping[str, str] | None = None,
        bare: bool = False,
    ) -> tuple[Sequence[Job], bool]:
        """Jobs with this metadata, or `bare` of any, newest first, and whether older ones follow.

        Raises InvalidRequest.
        """
        if after and not after.startswith("ftjob_"):
            raise InvalidRequest(f"after: {after!r} is not the id of a job.", param="after", remedy="Send the last id.")
        return self._store.page(principal.organization_id, limit=limit, after=after, metadata=metadata or {}, bare=bare)

    def timeline(
        self, principal: Principal, job_id: str, *, limit: int, after: str | None = None
    ) -> tuple[Sequence[Moment], bool]:
        """What has happened to a job, newest first, and whether older ones follow. Raises InvalidRequest, NotFound."""
        job = self.get(principal, job_id)
        told = timeline.timeline(job, self._storage.metrics(job))
        ids = [one.id for one in told]
        if after and after not in ids:
            raise InvalidRequest(
                f"after: job {job.id} has no event {after!r}.", param="after", remedy="Send the last id."
            )
        start = ids.index(after) + 1 if after else 0
        return told[start : start + limit], len(told) > start + limit

    def checkpoints(
        self, principal: Principal, job_id: str, *, limit: int, after: str | None = None
    ) -> tuple[Sequence[tuple[Checkpoint, dict[str, Any]]], bool]:
        """Whole checkpoints of a job with the metrics line of their step, newest first, and whether older ones follow.

        Raises InvalidRequest, NotFound.
        """
        job = self.get(principal, job_id)
        found = [Checkpoint(job, *saved) for saved in sorted(self._storage.checkpoints(job), reverse=True)]
        ids = [one.id for one in found]
        if after and after not in ids:
            message = f"after: job {job.id} has no checkpoint {after!r}."
            raise InvalidRequest(message, param="after", remedy="Send the last id.")
        start = ids.index(after) + 1 if after else 0
        lines = timeline.steps(self._storage.metrics(job))
        page = [(one, lines.get(one.step, {})) for one in found[start : start + limit]]
        return page, len(found) > start + limit

    def stats(self, principal: Principal) -> Counts:
        return self._store.counts(principal.organization_id)

    def logs(
        self, principal: Principal, job_id: str, *, lines: int = 100, since: str | None = None
    ) -> tuple[LogLine, ...]:
        """The last `lines` log lines of a job, oldest first."""
        if not 1 <= lines <= MAX_LINES:
            raise InvalidRequest(
                f"lines is {lines}; it must lie from 1 to {MAX_LINES}.", param="lines", remedy="Page with `since`."
            )
        _check_moment(since)
        return tuple(self._logs.tail(self.get(principal, job_id), lines=lines, since=since))

    def metrics(self, principal: Principal, job_id: str) -> tuple[Job, Curve | None]:
        """The job and its loss curve as the trainer has written it so far; None before the first step."""
        job = self.get(principal, job_id)
        lines = self._storage.metrics(job)
        return job, Curve.of(lines)

    def delete(self, principal: Principal, job_id: str) -> None:
        """Remove an ended job with its rows, logs of progress and checkpoints. Its model stays."""

        def deleted() -> Job:
            job = self.get(principal, job_id)
            if job.is_live:
                raise _conflict(job, "deleted", _AT_REST, "Stop it first, and wait until it is stopped.")
            self._store.delete(job)
            return job

        self._storage.remove(table.until_unchanged(job_id, deleted))

    def stop(self, principal: Principal, job_id: str) -> Job:
        """End a live job. Training saves a checkpoint first; stopping a stopped job changes nothing."""

        def stopping(job: Job, now: str) -> tuple[Job, Event | None]:
            if job.status in (entity.COMPLETED, entity.FAILED):
                raise _conflict(job, "stopped", entity.LIVE, "It has ended already.")
            if job.status in (entity.STOPPING, entity.STOPPED):
                return job, None
            if job.status == entity.PAUSED:
                stopped = job.become(entity.STOPPED, now, finished_at=now, status_reason=outcome.STOPPED_BY_USER)
                return stopped, event("training.stopped", job.organization_id, now, outcome.facts(stopped))
            return job.become(entity.STOPPING, now), None

        job = self._change(principal, job_id, stopping)
        return self._end(job) if job.status == entity.STOPPING else job

    def pause(self, principal: Principal, job_id: str) -> Job:
        """Let a live job rest after a checkpoint, until it is resumed. Pausing a paused job changes nothing."""

        def pausing(job: Job, now: str) -> tuple[Job, Event | None]:
            if job.status in (entity.PAUSING, entity.PAUSED):
                return job, None
            if not job.is_live or job.status == entity.STOPPING:
                raise _conflict(job, "paused", (entity.QUEUED, entity.PREPARING, entity.RUNNING), "It does not run.")
            return job.become(entity.PAUSING, now), None

        job = self._change(principal, job_id, pausing)
        return self._end(job) if job.status == entity.PAUSING else job

    def _end(self, job: Job) -> Job:
        """Have the training job save and end. Where none was launched there is nothing to wait for."""
        if job.training_job_name is None:
            return self._pipeline.settle(Step(job.organization_id, job.id, job.attempt))
        self._runs.stop(job)
        return job

    def start(self, principal: Principal, job_id: str) -> Job:
        """Let a job go on that waits for its start. Starting what goes on already changes nothing."""
        job = self.get(principal, job_id)
        goes_on = job.is_live and job.status not in entity.ENDING
        return job if goes_on else self.resume(principal, job_id)

    def resume(self, principal: Principal, job_id: str, *, max_cost: float | None = None) -> Job:
        """Let a paused job go on from its checkpoint; `max_cost` raises its cap, which covers all attempts."""
        return self._requeue(principal, job_id, "resumed", (entity.PAUSED,), max_cost=max_cost)

    def restart(
        self, principal: Principal, job_id: str, *, from_scratch: bool = False, max_cost: float | None = None
    ) -> Job:
        """Queue the next attempt of a job at rest; it continues from the last checkpoint."""
        return self._requeue(principal, job_id, "restarted", _RESTARTABLE, from_scratch=from_scratch, max_cost=max_cost)

    def retry(self, principal: Principal, job_id: str, *, apply_suggestion: bool = False) -> Job:
        """Queue the next attempt of a failed job: from its last checkpoint, or from scratch with the change of
        hyperparameters that its failure suggests. Raises Conflict where there is none.
        """

        def changed(job: Job) -> dict[str, Any]:
            suggested = (job.status_reason or {}).get("suggestion")
            if not suggested:
                raise Conflict(
                    f"The failure of job {job.id} suggests no change.",
                    param="apply_suggestion",
                    details={"code": (job.status_reason or {}).get("code")},
                    remedy="Leave apply_suggestion out to try it again as it is.",
                )
            wire = hyperparameters.to_wire(job.hyperparameters) | suggested["hyperparameters"]
            longest = catalog.find_base_model(job.base_model).max_sequence_length
            return hyperparameters.resolve(wire, longest=longest, method=job.method)

        return self._requeue(
            principal,
            job_id,
            "retried",
            (entity.FAILED,),
            max_cost=None,
            from_scratch=apply_suggestion,
            changed=changed if apply_suggestion else None,
        )

    def _requeue(
        self,
        principal: Principal,
        job_id: str,
        wanted: str,
        required: tuple[str, ...],
        *,
        max_cost: float | None,
        from_scratch: bool = False,
        changed: Callable[[Job], dict[str, Any]] | None = None,
    ) -> Job:
        """changed: the hyperparameters of the next attempt, where they are other ones."""

        def queued(job: Job, now: str) -> tuple[Job, Event | None]:
            if job.status in entity.ENDING:
                raise _conflict(job, wanted, required, "It saves its checkpoint.", wait=5)
            if job.status not in required:
                raise _conflict(job, wanted, required, "Create a new job instead.")
            new = job.next_attempt(now, from_scratch=from_scratch, max_cost=max_cost)
            if changed:
                # A rate that was suggested is no multiple of the automatic one any more.
                new = replace(new, hyperparameters=changed(job), learning_rate_multiplier=None)
            budget.require_room(new, job)
            return new, event("training.queued", job.organization_id, now, _facts(new))

        job = self._change(principal, job_id, queued)
        self._start(job)
        return job

    def estimate(
        self, principal: Principal, *, base_model: str, dataset_size: int, hardware: str | None = None
    ) -> Estimate:
        """Price and time of a run over `dataset_size` examples with default hyperparameters."""
        return self._drafts.estimate(base_model, dataset_size, hardware)

    def _queued_by(self, principal: Principal, job: Job) -> Job:
        """The job as one that this caller brings to life: counted for the key, paid by a hold."""
        return replace(job, key_id=principal.key_id, held_cents=self._credits.needed(job.expected_cost))

    def _make(
        self, principal: Principal, request: JobRequest, claim: idempotency.Claim, accept: Callable[[Job], None]
    ) -> Job:
        """The new job. Raises table.ConditionFailed when an equal create has made it meanwhile."""
        with self._drafts.drawn(principal, request) as draft:
            job = draft.job
            accept(job)
            job = self._queued_by(principal, job) if job.is_live else replace(job, key_id=principal.key_id)
            table.until_unchanged(
                "the credits", lambda: self._write_new(principal, job, claim, draft.writes), CreditsMoved
            )
            return job

    def _write_new(
        self, principal: Principal, job: Job, claim: idempotency.Claim, joined: Sequence[table.Write]
    ) -> None:
        name = "training.queued" if job.is_live else "training.paused"
        queued = event(name, job.organization_id, job.created_at, _facts(job) if job.is_live else outcome.facts(job))
        self._store.create(
            job,
            queued,
            [self._claims.write(claim, job.id)],
            limits=principal.limits,
            joined=[*joined, *self._credits.hold(job.organization_id, job.held_cents, job.id)],
        )

    def _start(self, job: Job) -> None:
        """Start the pipeline. If that fails now, the job stays queued and the sweeper starts it."""
        if job.status != entity.QUEUED or job.launch:
            return
        try:
            self._runs.start(job)
        except Exception:
            logger.warning("The pipeline of %s did not start; the sweeper will start it.", job.id, exc_info=True)

    def _change(self, principal: Principal, job_id: str, verb: Callable[[Job, str], tuple[Job, Event | None]]) -> Job:
        """Apply a verb to the job as it stands; when somebody else was faster, look again."""

        def changed() -> Job:
            old = self.get(principal, job_id)
            new, fact = verb(old, clock.iso(self._now()))
            if new is old:
                return old
            hold: list[table.Write] = []
            if new.is_live and not old.is_live:
                new = self._queued_by(principal, new)
                hold = self._credits.hold(new.organization_id, new.held_cents, new.id)
            self._store.save(old, new, fact, limits=principal.limits, joined=hold)
            return new

        return table.until_unchanged(job_id, changed)


def _check_moment(since: str | None) -> None:
    try:
        _ = since and clock.parse(since)
    except ValueError as error:
        raise InvalidRequest(
            f"since is {since!r}, which is no ISO 8601 timestamp.", param="since", remedy="Send 2025-02-01T10:00:00Z."
        ) from error


def _facts(job: Job) -> dict[str, Any]:
    return {"jobId": job.id, "baseModel": job.base_model, "attempt": job.attempt}


def _conflict(job: Job, wanted: str, required: tuple[str, ...], remedy: str, wait: int | None = None) -> Conflict:
    return Conflict(
        f"Job {job.id} is {job.status}; it can be {wanted} only when it is {' or '.join(required)}.",
        details={"current": job.status, "required": list(required)},
        remedy=remedy,
        retry_after=wait,
    )
