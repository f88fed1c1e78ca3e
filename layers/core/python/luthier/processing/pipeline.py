"""What the processing state machine does, step by step, and healing what it forgot. Each step may run twice."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from luthier import clock, table
from luthier.errors import Conflict, LuthierError, NotFound
from luthier.events.entity import Event, event
from luthier.executions import RUNNING, Executions
from luthier.jobs import outcome
from luthier.jobs.runs import describe_training_job
from luthier.processing import launches
from luthier.processing.entity import COMPLETED, Processing
from luthier.processing.kinds import KINDS
from luthier.processing.plan import Workshop
from luthier.processing.store import ProcessingStore
from luthier.usage.service import UsageService

logger = logging.getLogger(__name__)

LAUNCH, WAIT, ENDED = "launch", "wait", "ended"
# A new processing may be seconds away from its StartExecution; only an older one was forgotten.
_GRACE = timedelta(seconds=30)
_CAPACITY_SECONDS, _LOOK_SECONDS = 120, 30
_NO_CAPACITY = {
    "code": "no_capacity",
    "message": "AWS has no instance of this kind free, or the account's quota is used up. It waits for one.",
    "hint": "Raise the SageMaker training quota of the instance type.",
}
_INTERRUPTED = {"code": "interrupted", "message": "The processing was cut off.", "hint": "Ask for it again."}
# SageMaker's words for a job name that is taken: an earlier run of the step has created the job.
_TAKEN = ("ResourceInUse", "already exist")


class ProcessingPipeline:
    def __init__(
        self,
        store: ProcessingStore,
        executions: Executions,
        sagemaker: Any,
        workshop: Workshop,
        usage: UsageService,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._executions = executions
        self._sagemaker = sagemaker
        self._workshop = workshop
        self._usage = usage
        self._now = now

    def plan(
        self, organization_id: str, processing_id: str, attempt: int, *, model_uri: str, error: dict[str, Any] | None
    ) -> dict[str, Any]:
        """What comes next: `{status: launch, …}` with what the job is created with, `{status: wait, seconds}` or
        `{status: ended}`. It reads from SageMaker how an earlier launch went.

        error: of the step that created the job. Raises Conflict where this attempt is not wanted any more.
        """
        processing = self._current(organization_id, processing_id, attempt)
        described = self._described(processing)
        verdict = outcome.verdict(described, error) if described or (processing.launch and error) else None
        if verdict == outcome.NO_CAPACITY:
            self._change(processing, lambda found, now: found.waiting(now, _NO_CAPACITY))
            return {"status": WAIT, "seconds": _CAPACITY_SECONDS}
        if verdict == outcome.RUNNING or (described is None and _is_taken(error)):
            return {"status": WAIT, "seconds": _LOOK_SECONDS}
        if verdict:
            return {"status": ENDED}
        return self._launch(processing, model_uri)

    def settle(
        self, organization_id: str, processing_id: str, attempt: int, error: dict[str, Any] | None
    ) -> Processing:
        """End the attempt, completed with a result or failed with a reason; a job that still runs is stopped."""

        def settled() -> Processing:
            processing = self._get(organization_id, processing_id)
            if processing.attempt != attempt or not processing.is_live:
                return processing
            new = self._ended(processing, self._described(processing), error)
            self._store.save(processing, new, _fact(new), self._metered(processing, new))
            return new

        return table.until_unchanged(processing_id, settled)

    def _metered(self, old: Processing, new: Processing) -> list[table.Write]:
        """The writes that count what an attempt took, and charge it."""
        seconds, cost = new.seconds - old.seconds, new.cost - old.cost
        if not seconds:
            return []
        return self._usage.processing(
            new.organization_id, new.base_model, new.id, billed_seconds=seconds, cost=cost, charged=new.billed
        )

    def sweep(self) -> list[str]:
        """Settle or start every processing that its pipeline has forgotten; the ids that were healed."""
        return [found for organization_id, found in self._store.live() if self._healed(organization_id, found)]

    def _healed(self, organization_id: str, processing_id: str) -> bool:
        try:
            return self._heal(organization_id, processing_id)
        except Exception:
            # One that cannot be settled must not hold back the others; it comes up again.
            logger.exception("Processing %s was not healed.", processing_id)
            return False

    def _heal(self, organization_id: str, processing_id: str) -> bool:
        processing = self._store.get(organization_id, processing_id)
        if not processing or not processing.is_live or self._now() - clock.parse(processing.updated_at) < _GRACE:
            return False
        status = self._executions.status(processing.execution_name)
        if status is None:
            self._executions.start(processing.execution_name, processing.step)
        elif status != RUNNING:
            self.settle(organization_id, processing_id, processing.attempt, None)
        return status != RUNNING

    def _launch(self, processing: Processing, model_uri: str) -> dict[str, Any]:
        planned = KINDS[processing.kind].plan(processing, self._workshop, model_uri)
        # A name without a job was stored by an earlier run of this step, which did not come to its end.
        if not processing.training_job_name:
            processing = self._change(processing, lambda found, now: found.next_launch(now))
        request = launches.request(processing, planned, self._workshop.settings.artifacts_bucket)
        return {"status": LAUNCH} | request

    def _ended(
        self, processing: Processing, described: dict[str, Any] | None, error: dict[str, Any] | None
    ) -> Processing:
        billed = launches.billed(described)
        now = clock.iso(self._now())
        verdict = outcome.verdict(described, error)
        if verdict == outcome.COMPLETED and described:
            try:
                output_uri = described["ModelArtifacts"]["S3ModelArtifacts"]
                result = KINDS[processing.kind].settle(processing, self._workshop, output_uri)
            except LuthierError as refused:
                if refused.retry_after:
                    raise
                reason = {"code": refused.code, "message": refused.message, "hint": refused.remedy}
                return processing.failed(now, reason, **billed)
            return processing.completed(now, result, **billed)
        if verdict == outcome.RUNNING:
            self._stop(processing)
        return processing.failed(now, launches.reason(described, error) or _INTERRUPTED, **billed)

    def _stop(self, processing: Processing) -> None:
        try:
            self._sagemaker.stop_training_job(TrainingJobName=processing.training_job_name)
        except self._sagemaker.exceptions.ClientError as refused:
            # It has ended since it was described.
            if refused.response["Error"]["Code"] != "ValidationException":
                raise

    def _described(self, processing: Processing) -> dict[str, Any] | None:
        name = processing.training_job_name
        return describe_training_job(self._sagemaker, name) if name else None

    def _get(self, organization_id: str, processing_id: str) -> Processing:
        processing = self._store.get(organization_id, processing_id)
        if processing is None:
            raise NotFound(f"No processing {processing_id!r}.")
        return processing

    def _current(self, organization_id: str, processing_id: str, attempt: int) -> Processing:
        processing = self._get(organization_id, processing_id)
        if processing.attempt != attempt or not processing.is_live:
            raise Conflict(f"Attempt {attempt} of {processing_id} is no longer wanted.", code="stopped")
        return processing

    def _change(self, seen: Processing, change: Callable[[Processing, str], Processing]) -> Processing:
        """Write a change of what this step saw; another run of it that was faster has the say."""
        new = change(seen, clock.iso(self._now()))
        try:
            self._store.save(seen, new)
        except table.ConditionFailed:
            message = f"Another run of this step has changed {seen.id}."
            raise Conflict(message, remedy="Try again.", retry_after=1) from None
        return new


def _is_taken(error: dict[str, Any] | None) -> bool:
    text = f"{(error or {}).get('Error', '')} {(error or {}).get('Cause', '')}"
    return any(word in text for word in _TAKEN)


def _fact(processing: Processing) -> Event:
    name = "processing.completed" if processing.status == COMPLETED else "processing.failed"
    data = {
        "processingId": processing.id,
        "kind": processing.kind,
        "modelId": processing.model_id,
        "baseModel": processing.base_model,
        "about": processing.about,
        "reason": processing.status_reason,
    }
    return event(name, processing.organization_id, processing.updated_at, data)
