"""The registry of fine-tuned models."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import count
from typing import Any

from luthier import clock, table
from luthier.accounts.entity import Principal
from luthier.errors import Conflict, LuthierError, NotFound
from luthier.events.entity import event
from luthier.jobs.entity import Job
from luthier.jobs.store import JobStore
from luthier.models import names
from luthier.models.entity import (
    DEPLOYED,
    IMPORTED,
    READY,
    TRAINING,
    Model,
    Unfinished,
    id_of_job,
    job_of_id,
    public_names,
    unfinished,
)
from luthier.models.formats import exported
from luthier.models.store import ModelStore, Moved, NameTaken


class ModelService:
    def __init__(self, store: ModelStore, jobs: JobStore, now: clock.Clock = clock.now) -> None:
        self._store = store
        self._jobs = jobs
        self._now = now

    def register(self, job: Job, artifact_uri: str, card: dict[str, Any]) -> Model:
        """Enter a job's result. Its id follows from the job, so a repeated call finds the first one's model.

        card: the trainer's model_card.json (design section 7).
        """
        return self._enter(self._draw(job, artifact_uri, card))

    def adopt(
        self,
        model_id: str,
        organization_id: str,
        artifact_uri: str,
        card: dict[str, Any],
        *,
        also: str | None = None,
        **told: Any,
    ) -> Model:
        """Enter a model that was trained elsewhere, or a checkpoint. A repeated call finds the first one's model.

        card: the adopter's model_card.json; also: another name of it, unless a model has it already; told: name,
        base_model, owner, and what else of a Model is known.
        """
        other = [also] if also and not self.is_taken(organization_id, also) else []
        now, names = clock.iso(self._now()), [told["name"], *other]
        stamped = {"created_at": now, "updated_at": now, "artifact_uri": artifact_uri}
        facts = _facts(artifact_uri, card) | stamped | told
        return self._enter(Model(model_id, organization_id, names=names, job_id="", source=IMPORTED, **facts))

    def is_taken(self, organization_id: str, name: str) -> bool:
        """Whether a model or an alias has this public name."""
        return self._store.has_name(organization_id, name)

    def _enter(self, drawn: Model) -> Model:
        """Write a model, under the first of its names with a number where that is taken."""
        data = {"modelId": drawn.id, "jobId": drawn.job_id or None, "baseModel": drawn.base_model}
        for wished in _untaken(drawn.names):
            model = replace(drawn, name=wished[0], names=wished)
            registered = event("model.registered", drawn.organization_id, drawn.created_at, data | {"name": model.name})
            try:
                if self._store.create(model, registered):
                    return model
            except NameTaken:
                continue
            break
        existing = self._store.get(drawn.organization_id, drawn.id)
        if existing is None:
            raise NotFound(f"Model {drawn.id} was removed while it was registered.")
        return existing

    def of_job(self, job: Job) -> Model | None:
        """The model that a job has yielded: one read."""
        return self._store.get(job.organization_id, id_of_job(job.id))

    def get(self, principal: Principal, name: str) -> Model:
        """The model behind an id or any of its public names. Raises as `missing` says."""
        model = self.find(principal.organization_id, name)
        if model is None:
            raise self.missing(principal.organization_id, name)
        return model

    def to_be(self, organization_id: str, model_id: str) -> Unfinished | None:
        """The model of an id that a job is to yield, or was."""
        job = self._jobs.get(organization_id, job_of_id(model_id))
        return unfinished(asdict(job), job.shown_status) if job and model_id == id_of_job(job.id) else None

    def missing(self, organization_id: str, name: str) -> LuthierError:
        """What to say of a name without a model: Conflict where that is yet to come, or did not; else NotFound."""
        if expected := self.to_be(organization_id, name) if name.startswith("model_") else None:
            waits = expected.status == TRAINING
            return Conflict(
                f"Model {name} is {expected.status}: job {expected.job_id} has not yielded it.",
                param="model",
                details={"current": expected.status, "required": [READY, DEPLOYED], "jobId": expected.job_id},
                remedy="Wait until the job has completed." if waits else "Restart the job, or train another.",
            )
        missing = not_found(name)
        if ":ckpt-step-" in name:
            missing.remedy = "Make a model of the checkpoint: POST /v2/training/models/import, source.type checkpoint."
        return missing

    def find(self, organization_id: str, name: str) -> Model | None:
        model_id = name if name.startswith("model_") else self._store.id_of_name(organization_id, name)
        return self._store.get(organization_id, model_id) if model_id else None

    def newest(self, principal: Principal, *, limit: int = 100) -> list[Model]:
        return self._store.newest(principal.organization_id, page_size=limit)

    def update(self, principal: Principal, name: str, changes: dict[str, Any]) -> Model:
        """Change name, description, tags or metadata; each is replaced as a whole, and what is not sent stays.

        A new name resolves besides the old ones. Raises NotFound, InvalidRequest for a name that no model can have, and
        Conflict for one that is taken.
        """
        if "name" in changes:
            names.check(changes["name"])

        def updated() -> Model:
            old = self.get(principal, name)
            new = replace(_renamed(old, changes.get("name", old.name)), **changes)
            if new == old:
                return old
            return self._store.save(old, replace(new, updated_at=clock.iso(self._now())))

        try:
            return table.until_unchanged(name, updated, Moved)
        except NameTaken as error:
            raise names.taken(changes["name"]) from error

    def use_writes(self, job: Job) -> list[table.Write]:
        """What notes that a job trains on from a model, for the job's transaction: none where it starts from a base
        model. The transaction raises Conflict when the model is archived or gone."""
        if not job.start_from:
            return []
        return self._store.use_writes(job.organization_id, job.start_from["model_id"], job.id)

    def _draw(self, job: Job, artifact_uri: str, card: dict[str, Any]) -> Model:
        now = clock.iso(self._now())
        drawn = public_names(job.base_model, job.organization_id, job.suffix, job.id[-8:])
        return Model(
            id=id_of_job(job.id),
            organization_id=job.organization_id,
            name=drawn[0],
            names=drawn,
            base_model=job.base_model,
            job_id=job.id,
            owner=job.owner,
            artifact_uri=artifact_uri,
            created_at=now,
            updated_at=now,
            description=job.description,
            method=job.method,
            hyperparameters=job.hyperparameters,
            start_from=job.start_from["model"] if job.start_from else None,
            parent=job.start_from["model_id"] if job.start_from else None,
            datasets=_datasets(job, card),
            **_facts(artifact_uri, card),
        )


def not_found(name: str) -> NotFound:
    return NotFound(
        f"No model {name!r}.",
        code="model_not_found",
        param="model",
        details={"modelId": name},
        remedy="List the models.",
    )


def _facts(artifact_uri: str, card: dict[str, Any]) -> dict[str, Any]:
    """What a model card says, as a Model has it."""
    files = card.get("files", [])
    return {
        "metrics": card.get("metrics", {}),
        "trained_tokens": card.get("trained_tokens"),
        "parameters": card.get("parameters"),
        "trainable_parameters": card.get("trainable_parameters"),
        "bytes": sum(file["size"] for file in files),
        "files": files,
        "base_revision": card.get("base_model", {}).get("revision"),
        "architecture": card.get("architecture", {}),
        "training": card.get("training", {}),
        "evaluation": card.get("evaluation"),
        "formats": exported(artifact_uri, card),
        **({"serving": card["serving"]} if "serving" in card else {}),
    }


def _renamed(model: Model, name: str) -> Model:
    if name not in model.names and len(model.names) >= names.MOST:
        raise names.too_many(model.names)
    return replace(model, names=list(dict.fromkeys([name, *model.names])))


def _datasets(job: Job, card: dict[str, Any]) -> list[dict[str, Any]]:
    """What the run has read, by content; rows held out of the training file have that file's id."""
    files = {"train": job.training_dataset, "validation": job.validation_dataset or job.training_dataset}
    read = {role: found for role, found in card.get("dataset", {}).items() if found}
    whole = [
        {"role": role, "file_id": files.get(role), "sha256": found["sha256"], "rows": found["rows"]}
        for role, found in read.items()
        if role != "train" or not job.mixture
    ]
    return [*({"role": "train", **facts} for facts in job.mixture), *whole]


def _untaken(wished: list[str]) -> Iterator[list[str]]:
    """The names as wished, then with -2, -3, … on the first: a suffix may be used again, a name stays one model's."""
    yield wished
    for number in count(2):
        yield [f"{wished[0]}-{number}", *wished[1:]]
