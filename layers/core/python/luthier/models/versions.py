"""The versions of a line of models: adding one from a job, and looking at them in their order."""

from dataclasses import replace

from luthier import clock, idempotency, pages, table
from luthier.accounts.entity import Principal
from luthier.catalog import service as catalog
from luthier.errors import Conflict, NotFound, Unprocessable
from luthier.idempotency import ONCE, Claims, Repetition
from luthier.jobs import entity as jobs
from luthier.jobs.store import JobStore
from luthier.models import versioning
from luthier.models.entity import ARCHIVED, DEPLOYED, READY, Model, id_of_job, job_of_id
from luthier.models.service import ModelService
from luthier.models.store import ModelStore, Moved
from luthier.pages import Page


class VersionService:
    def __init__(
        self, models: ModelService, store: ModelStore, jobs: JobStore, claims: Claims, now: clock.Clock = clock.now
    ) -> None:
        self._models = models
        self._store = store
        self._jobs = jobs
        self._claims = claims
        self._now = now

    def page(self, principal: Principal, name: str, *, limit: int, offset: int) -> Page[Model]:
        """Versions of the line that a model belongs to, in semantic order."""
        pages.check(limit, offset)
        line = self._models.get(principal, name)
        known = [item for item in self._store.versions(line.organization_id, line.family) if not item["deleted"]]
        known.sort(key=lambda item: versioning.order(item["version"]))
        ids = [item["model_id"] for item in known[offset : offset + limit]]
        found = self._store.get_many(line.organization_id, ids)
        return Page([found[one] for one in ids if one in found], len(known), limit, offset)

    def get(self, principal: Principal, name: str, version: str) -> Model:
        """One version of the line that a model belongs to. Raises NotFound."""
        line, label = self._models.get(principal, name), versioning.label(version)
        item = self._store.version(line.organization_id, line.family, label)
        model = self._store.get(line.organization_id, item["model_id"]) if item and not item["deleted"] else None
        if model is None:
            raise NotFound(f"{line.name} has no version {label}.", param="version", remedy="List its versions.")
        return model

    def add(
        self,
        principal: Principal,
        name: str,
        *,
        version: str,
        training_job_id: str,
        description: str | None = None,
        changelog: list[str] | None = None,
        repetition: Repetition = ONCE,
    ) -> Model:
        """Make the model of a completed job the next version of a model's line.

        Raises NotFound for the model or the job; Conflict for an archived line, for a job that has not completed or
        whose model was deleted, for a model that is deployed or in a line with others, and for a version that the line
        has or had; Unprocessable for another base model.
        """
        label = versioning.label(version)
        facts = {"model": name, "version": label, "job": training_job_id, "notes": [description, changelog]}
        claim = repetition.claim(principal, "models.add_version", facts)

        def added() -> Model:
            line = self._models.get(principal, name)
            model = self._yield(principal, training_job_id)
            self._require_fit(line, model)
            new = replace(
                model,
                version=label,
                family=line.family,
                description=model.description if description is None else description,
                changelog=changelog or [],
                updated_at=clock.iso(self._now()),
            )
            return self._join(line, model, new, claim)

        return self._claims.once(
            claim,
            lambda: table.until_unchanged(name, added, Moved),
            lambda made: self._models.get(principal, made),
        )

    def _join(self, line: Model, old: Model, new: Model, claim: idempotency.Claim) -> Model:
        taken = Conflict(
            f"{line.name} has, or had, a version {new.version}; a version is never given twice.",
            code="version_exists",
            param="version",
            details={"version": new.version},
            remedy="Send another version.",
        )
        head = self._store.get(line.organization_id, line.family)
        if head and head.family != line.family:
            raise Moved
        grows = [self._store.family_write(head)] if head else []
        moved = [self._store.version_write(new, taken), self._store.leave_write(old)]
        return self._store.save(old, new, joined=[*moved, *grows, self._claims.write(claim, new.id)])

    def _yield(self, principal: Principal, job_id: str) -> Model:
        """What a job has yielded."""
        model_id = id_of_job(job_id)
        job = self._jobs.get(principal.organization_id, job_of_id(model_id))
        model = self._store.get(principal.organization_id, model_id)
        if job is None and model is None:
            raise NotFound(
                f"trainingJobId: no training job {job_id!r}.",
                param="trainingJobId",
                remedy="List the jobs to find its id.",
            )
        if job and job.status != jobs.COMPLETED:
            raise Conflict(
                f"trainingJobId: job {job.id} is {job.status}; it yields a version only when it is completed.",
                param="trainingJobId",
                details={"current": job.status, "required": [jobs.COMPLETED]},
                remedy="Wait until it has completed.",
            )
        if model is None or model.status == ARCHIVED:
            raise Conflict(
                f"trainingJobId: the model of job {job_id} was {'archived' if model else 'deleted'}.",
                param="trainingJobId",
                details={"current": ARCHIVED if model else "deleted", "required": [READY, DEPLOYED]},
                remedy="Restore it, or train another.",
            )
        return model

    def _require_fit(self, line: Model, model: Model) -> None:
        if line.status == ARCHIVED:
            raise Conflict(
                f"{line.name} is archived; its line takes no version.",
                details={"current": ARCHIVED, "required": [READY, DEPLOYED]},
                remedy="Restore it first.",
            )
        same_line = model.family == line.family
        if same_line or len(self._store.versions(model.organization_id, model.family)) > 1:
            raise Conflict(
                f"trainingJobId: the model of {model.job_id or 'the import'} is already version {model.version} of "
                f"{'this' if same_line else 'another'} line of models.",
                param="trainingJobId",
                details={"modelId": model.id, "version": model.version},
                remedy="Name a job whose model stands alone.",
            )
        if model.deployments:
            raise Conflict(
                f"trainingJobId: the job's model is deployed as {model.version} and keeps that version.",
                param="trainingJobId",
                details={"current": DEPLOYED, "required": [READY], "deployments": list(model.deployments)},
                remedy="Delete its deployments first.",
            )
        ours, theirs = (catalog.find_base_model(one.base_model).id for one in (line, model))
        if ours != theirs:
            raise Unprocessable(
                f"trainingJobId: the job was trained from {theirs}, and {line.name} from {ours}; versions of a line "
                "share a base model.",
                param="trainingJobId",
                details={"baseModel": ours, "jobBaseModel": theirs},
                remedy="Name a job that was trained from the same base model.",
            )
