"""Watching jobs: progress from the container, state changes from SageMaker, and healing what an event lost."""

import logging
from datetime import timedelta
from typing import Any

from luthier import clock, table
from luthier.events.entity import Event, event
from luthier.jobs import budget, entity
from luthier.jobs.curve import Curve
from luthier.jobs.entity import Job, Step
from luthier.jobs.pipeline import TrainingPipeline
from luthier.jobs.runs import Runs
from luthier.jobs.storage import JobStorage, owner_of
from luthier.jobs.store import JobStore

logger = logging.getLogger(__name__)

# A queued job may be seconds away from its StartExecution; only an older one was forgotten.
_GRACE = timedelta(seconds=30)
# SageMaker's secondary status → our phase. Others ("Interrupted", "MaxRuntimeExceeded", …) end a run.
_PHASES = {
    "Starting": "starting",
    "Pending": "starting",
    "LaunchingMLInstances": "starting",
    "PreparingTrainingStack": "starting",
    "Downloading": "downloading",
    "DownloadingTrainingImage": "downloading",
    "Training": "training",
    "Uploading": "uploading",
}


class JobWatcher:
    def __init__(
        self,
        store: JobStore,
        storage: JobStorage,
        runs: Runs,
        pipeline: TrainingPipeline,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._storage = storage
        self._runs = runs
        self._pipeline = pipeline
        self._now = now

    def training_job_changed(self, detail: dict[str, Any]) -> Job | None:
        """Take in SageMaker's "Training Job State Change". `detail` has the shape of DescribeTrainingJob's answer."""
        owner = owner_of(detail.get("HyperParameters", {}).get("job_config", ""))
        phase = _PHASES.get(detail.get("SecondaryStatus", ""))
        if owner is None or phase is None:
            return None
        job = self._store.get(*owner)
        if job is None or job.training_job_name != detail["TrainingJobName"]:
            return None
        if job.status in entity.ENDING or not job.is_live:
            # The wish came between the plan and the launch, when there was nothing to stop yet.
            self._runs.stop(job)
            return job
        return self._update(job, phase=phase)

    def metrics_written(self, key: str) -> Job | None:
        """Take in that the trainer's metrics file at this S3 key has grown."""
        owner = owner_of(key)
        job = self._store.get(*owner) if owner else None
        lines = self._storage.metrics(job) if job and job.is_live else []
        if job is None or not lines:
            return None
        phase, summary = lines[-1].get("phase", "training"), Curve.of(lines)
        cost = budget.running_cost(job, self._now())
        if summary is None:
            return self._update(job, phase=phase, running_cost=cost)
        return self._update(
            job,
            phase=phase,
            running_cost=cost,
            metrics=summary.latest,
            trained_tokens=summary.trained_tokens,
            progress=summary.progress,
        )

    def sweep(self) -> list[str]:
        """Settle or start every live job that its pipeline has forgotten; the ids that were healed."""
        return [job_id for organization_id, job_id in self._store.live() if self._heal(organization_id, job_id)]

    def _heal(self, organization_id: str, job_id: str) -> bool:
        job = self._store.get(organization_id, job_id)
        if job is None or not job.is_live:
            return False
        status = self._runs.execution_status(job)
        if status == "RUNNING" or (self._now() - clock.parse(job.updated_at) < _GRACE and status is None):
            return False
        logger.info("Healing %s: the job is %s, its execution %s.", job.id, job.status, status)
        if status is None and job.status == entity.QUEUED:
            self._runs.start(job)
        else:
            self._pipeline.settle(Step(job.organization_id, job.id, job.attempt))
        return True

    def _update(self, job: Job, **changes: Any) -> Job:
        """Note what the container does. A job that it works on is running, whatever event was lost."""

        def updated() -> Job:
            fresh = self._store.get(job.organization_id, job.id) or job
            now = clock.iso(self._now())
            waiting = fresh.status in (entity.QUEUED, entity.PREPARING)
            fact: Event | None
            if waiting and changes.get("phase") not in (None, "starting"):
                new, fact = self._started(fresh, now, changes)
            elif fresh.is_live:
                new, fact = self._noted(fresh, now, changes)
            else:
                return fresh
            self._store.save(fresh, new, fact)
            return new

        return table.until_unchanged(job.id, updated)

    def _noted(self, job: Job, now: str, changes: dict[str, Any]) -> tuple[Job, Event | None]:
        new = job.note(now, **changes)
        if new.status != entity.RUNNING or _tenths(new) <= _tenths(job):
            return new, None
        facts = {"jobId": new.id, "baseModel": new.base_model, "progress": new.progress}
        loss = (new.metrics or {}).get("training_loss")
        return new, event("training.progress", new.organization_id, now, facts | {"trainingLoss": loss})

    def _started(self, job: Job, now: str, changes: dict[str, Any]) -> tuple[Job, Event]:
        if job.status == entity.QUEUED:
            job = job.become(entity.PREPARING, now)
        running = job.become(entity.RUNNING, now, started_at=job.started_at or now, status_reason=None, **changes)
        data = {"jobId": job.id, "baseModel": job.base_model, "attempt": job.attempt}
        return running, event("training.started", job.organization_id, now, data)


def _tenths(job: Job) -> int:
    """How many tenths of its steps a job has passed."""
    return int((job.progress or {}).get("percent", 0) // 10)
