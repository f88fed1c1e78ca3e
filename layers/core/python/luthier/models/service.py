"""The registry of fine-tuned models."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from luthier import clock
from luthier.accounts.entity import Principal
from luthier.errors import NotFound
from luthier.events.entity import event
from luthier.jobs.entity import Job
from luthier.models.entity import Model, public_names
from luthier.models.store import ModelStore, NameTaken


class ModelService:
    def __init__(self, store: ModelStore, now: clock.Clock = clock.now) -> None:
        self._store = store
        self._now = now

    def register(self, job: Job, artifact_uri: str, card: dict[str, Any]) -> Model:
        """Enter a job's result. Its id follows from the job, so a repeated call finds the first one's model.

        card: the trainer's model_card.json (design section 7).
        """
        drawn = self._draw(job, artifact_uri, card)
        data = {"modelId": drawn.id, "jobId": job.id, "baseModel": job.base_model}
        for names in _untaken(drawn.names):
            model = replace(drawn, name=names[0], names=names)
            registered = event("model.registered", job.organization_id, model.created_at, data | {"name": model.name})
            try:
                if self._store.create(model, registered):
                    return model
            except NameTaken:
                continue
            break
        existing = self._store.get(job.organization_id, drawn.id)
        if existing is None:
            raise NotFound(f"Model {drawn.id} was removed while it was registered.")
        return existing

    def of_job(self, job: Job) -> Model | None:
        """The model that a job has yielded: one read."""
        return self._store.get(job.organization_id, _id_of(job))

    def get(self, principal: Principal, name: str) -> Model:
        """The model behind an id or any of its public names."""
        model = self.find(principal.organization_id, name)
        if model is None:
            raise NotFound(f"No model {name!r}.", code="model_not_found", param="model", remedy="List the models.")
        return model

    def find(self, organization_id: str, name: str) -> Model | None:
        model_id = name if name.startswith("model_") else self._store.id_of_name(organization_id, name)
        return self._store.get(organization_id, model_id) if model_id else None

    def newest(self, principal: Principal, *, limit: int = 100) -> list[Model]:
        return self._store.newest(principal.organization_id, page_size=limit)

    def _draw(self, job: Job, artifact_uri: str, card: dict[str, Any]) -> Model:
        now = clock.iso(self._now())
        names = public_names(job.base_model, job.organization_id, job.suffix, job.id[-8:])
        files = card.get("files", [])
        return Model(
            id=_id_of(job),
            organization_id=job.organization_id,
            name=names[0],
            names=names,
            base_model=job.base_model,
            job_id=job.id,
            owner=job.owner,
            artifact_uri=artifact_uri,
            created_at=now,
            updated_at=now,
            description=job.description,
            method=job.method,
            metrics=card.get("metrics", {}),
            trained_tokens=card.get("trained_tokens"),
            parameters=card.get("parameters"),
            trainable_parameters=card.get("trainable_parameters"),
            bytes=sum(file["size"] for file in files),
            files=files,
            hyperparameters=job.hyperparameters,
            base_revision=card.get("base_model", {}).get("revision"),
            start_from=job.start_from["model"] if job.start_from else None,
            datasets=[
                {"role": role, "sha256": facts["sha256"], "rows": facts["rows"]}
                for role, facts in card.get("dataset", {}).items()
                if facts
            ],
            evaluation=card.get("evaluation"),
            **({"serving": card["serving"]} if "serving" in card else {}),
        )


def _id_of(job: Job) -> str:
    return f"model_{job.id.partition('_')[2]}"


def _untaken(names: list[str]) -> Iterator[list[str]]:
    """The names as wished, then with -2, -3, … on the first: a suffix may be used again, a name stays one model's."""
    yield names
    for number in count(2):
        yield [f"{names[0]}-{number}", *names[1:]]
