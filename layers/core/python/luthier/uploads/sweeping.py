"""The files that time does something to: large or forgotten ones are checked, those whose time is over go.

Previews go after their file, because one may be in the making when that is deleted.
"""

import logging
import re
from dataclasses import replace
from datetime import timedelta
from itertools import chain, islice

from luthier import clock, table
from luthier.datasets.entity import Dataset
from luthier.datasets.service import DatasetService
from luthier.datasets.store import DatasetStore
from luthier.jobs.entity import PAUSED
from luthier.jobs.store import JobStore
from luthier.processing.removal import ProcessingRemoval
from luthier.processing.store import ProcessingStore
from luthier.uploads.checking import FileChecks, OtherContent

logger = logging.getLogger(__name__)

_SWEPT = 100
# A sweep begins checks for so long; the function has 15 minutes, and the next sweeps take the rest meanwhile.
_TURN = timedelta(minutes=4)
# Longer than the function runs: whoever began a check before that has died.
_LEASE = timedelta(minutes=16)
_TRIES = 3
# A file that is still needed when its time is over is looked at again after this.
_LATER = timedelta(minutes=10)
_FILE_IN_URI = re.compile(r"/files/(file-\w+)/")


class FileSweeper:
    def __init__(
        self,
        files: DatasetStore,
        datasets: DatasetService,
        checks: FileChecks,
        jobs: JobStore,
        processings: ProcessingStore,
        previews: ProcessingRemoval,
        now: clock.Clock = clock.now,
    ) -> None:
        self._files = files
        self._datasets = datasets
        self._checks = checks
        self._jobs = jobs
        self._processings = processings
        self._previews = previews
        self._now = now

    def sweep(self) -> dict[str, list[str]]:
        """Look at the files that are due. `{"checked": ids, "deleted": ids, "kept": ids}`; kept are those in use."""
        done: dict[str, list[str]] = {"checked": [], "deleted": [], "kept": []}
        begun = self._now()
        for file in islice(self._files.due(clock.iso(begun)), _SWEPT):
            if self._now() - begun > _TURN:
                break
            try:
                if what := self._look(file):
                    done[what].append(file.id)
            except Exception:
                # One that fails must not hold back the others; it comes up again.
                logger.exception("File %s was not swept.", file.id)
        return done

    def _look(self, file: Dataset) -> str | None:
        now = self._now()
        if file.deleted:
            gone = self._previews.remove(file.organization_id, file.id)
            self._datasets.bury(file, due=None if gone else clock.iso(now + _LATER))
            return None
        if file.expires_at and file.expires_at <= clock.iso(now):
            if self._is_used(file):
                self._noted(file, replace(file, due=clock.iso(now + _LATER)))
                return "kept"
            self._datasets.remove(file)
            return "deleted"
        if not file.unchecked:
            return None
        if file.tries >= _TRIES:
            self._checks.reject(file, f"The content could not be checked in {_TRIES} tries. Upload the file again.")
            return "checked"
        taken = replace(file, due=clock.iso(now + _LEASE), tries=file.tries + 1)
        if not self._noted(file, taken):
            return None
        try:
            self._checks.check(taken)
        except OtherContent as other:
            self._checks.reject(taken, other.refusal.sentence())
        return "checked"

    def _noted(self, old: Dataset, new: Dataset) -> bool:
        """Whether it was this sweep that wrote it."""
        try:
            self._files.revise(old, new)
        except table.ConditionFailed:
            return False
        return True

    def _is_used(self, file: Dataset) -> bool:
        """Whether a job or a processing reads the file itself; batches and launched jobs have copies."""
        live = (job_id for organization_id, job_id in self._jobs.live() if organization_id == file.organization_id)
        # Among them those that were never started.
        paused = (row["id"] for row in self._jobs.rows(file.organization_id, status=PAUSED))
        for job_id in chain(live, paused):
            job = self._jobs.get(file.organization_id, job_id)
            if job and file.id in [read.dataset_id for read, _ in job.reads]:
                return True
        for organization_id, processing_id in self._processings.live():
            ours = organization_id == file.organization_id
            at_work = self._processings.get(organization_id, processing_id) if ours else None
            if at_work and file.id in _FILE_IN_URI.findall(str(at_work.context.get("uri"))):
                return True
        return False
