"""What a job has saved on its way: the steps that can be made models of, under OpenAI's names for them."""

import re
from dataclasses import dataclass

from luthier.errors import NotFound
from luthier.jobs.entity import Job
from luthier.jobs.storage import JobStorage
from luthier.jobs.store import JobStore
from luthier.models.entity import public_names
from luthier.models.service import ModelService

_NAME = re.compile(r"(ft:.+):ckpt-step-([0-9]{1,9})")
_ID = re.compile(r"ftckpt_([0-9a-z]+)_([0-9]{1,9})")


@dataclass(frozen=True)
class Checkpoint:
    """uri: S3 prefix of its files, with a slash at its end; bytes: of all of them; created_at: ISO 8601 UTC."""

    job: Job
    step: int
    uri: str
    bytes: int
    created_at: str

    @property
    def id(self) -> str:
        return f"ftckpt_{self.job.id.rpartition('_')[2]}_{self.step}"

    @property
    def name(self) -> str:
        """The public name of the model that can be made of it."""
        job = self.job
        return f"{public_names(job.base_model, job.organization_id, job.suffix, job.id[-8:])[1]}:ckpt-step-{self.step}"


class Checkpoints:
    def __init__(self, jobs: JobStore, storage: JobStorage, models: ModelService) -> None:
        self._jobs = jobs
        self._storage = storage
        self._models = models

    def of_job(self, job: Job) -> list[Checkpoint]:
        """Those of the run at hand that are whole, newest first: one listing."""
        found = [Checkpoint(job, *saved) for saved in self._storage.checkpoints(job)]
        return sorted(found, key=lambda one: one.step, reverse=True)

    def find(self, organization_id: str, reference: str, *, param: str = "source.checkpoint") -> Checkpoint:
        """The checkpoint of an id, or of a name once its job has yielded a model. Raises NotFound."""
        job_id, step = "", -1
        if found := _ID.fullmatch(reference):
            job_id, step = f"ftjob_{found[1]}", int(found[2])
        elif found := _NAME.fullmatch(reference):
            model = self._models.find(organization_id, found[1])
            job_id, step = model.job_id if model else "", int(found[2])
        job = self._jobs.get(organization_id, job_id) if job_id else None
        for one in self.of_job(job) if job else []:
            if one.step == step:
                return one
        raise NotFound(
            f"No checkpoint {reference!r:.120}.",
            param=param,
            remedy="List those of its job: GET /v1/fine_tuning/jobs/{id}/checkpoints.",
        )
