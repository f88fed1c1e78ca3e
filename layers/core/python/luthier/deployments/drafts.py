"""From what a client wishes to a deployment: the model behind the name, hardware, price and a first estimate."""

from datetime import timedelta
from typing import Any

from luthier import clock
from luthier.accounts.entity import Principal
from luthier.catalog import service as catalog
from luthier.catalog.entity import BaseModel
from luthier.deployments import hardware
from luthier.deployments.entity import Deployment, id_of
from luthier.deployments.history import History
from luthier.deployments.hosts import HostStore
from luthier.deployments.wishes import Wish, workers_and_scaling
from luthier.errors import Conflict, InvalidRequest
from luthier.models.entity import OWN_MODEL, Model
from luthier.models.service import ModelService

ARCHIVED = "archived"
# Where a run leaves what serves it: an archive as SageMaker takes an adapter, and answers to compare with.
_ARCHIVE, _PROOF = "serving/adapter.tar.gz", "proof.json"


class Drafts:
    def __init__(self, models: ModelService, hosts: HostStore, history: History, now: clock.Clock = clock.now) -> None:
        self._models = models
        self._hosts = hosts
        self._history = history
        self._now = now

    def target(self, organization_id: str, name: str) -> str:
        """The id of the model or base model behind any of its names. Raises NotFound."""
        model = self._models.find(organization_id, name)
        return model.id if model else self._base_model(organization_id, name).id

    def draw(self, principal: Principal, name: str, wish: Wish) -> Deployment:
        """What would be deployed. Raises NotFound, InvalidRequest, Unprocessable, Conflict for an archived model."""
        organization_id = principal.organization_id
        model = self._models.find(organization_id, name)
        _refuse_archived(model)
        base = catalog.find_base_model(model.base_model) if model else self._base_model(organization_id, name)
        own = model is not None and model.serving["kind"] == OWN_MODEL
        kind = wish.kind_for(own_weights=own)
        workers, scaling = workers_and_scaling(wish.workers, wish.scaling)
        row = hardware.choose(base, base.parameters, wish.gpu_type)
        now, target = clock.iso(self._now()), model.id if model else base.id
        called = wish.name or (model.name if model else base.id)
        drawn = Deployment(
            id=id_of(organization_id, target, wish.environment, called),
            organization_id=organization_id,
            target=target,
            name=called,
            kind=kind,
            hardware=row.id,
            base_model=base.id,
            model_name=model.name if model else base.id,
            created_at=now,
            updated_at=now,
            started_at=now,
            environment=wish.environment,
            gpu_type=wish.gpu_type,
            workers=workers,
            scaling=scaling,
            configuration=wish.configuration or {},
            cost_per_hour=row.cost_per_hour * workers,
            **(_of_model(model, own=own) if model else {}),
        )
        return drawn.estimated(self.estimated_ready(drawn, now))

    def _base_model(self, organization_id: str, name: str) -> BaseModel:
        try:
            return catalog.find_base_model(name)
        except InvalidRequest as error:
            raise self._models.missing(organization_id, name) from error

    def estimated_ready(self, deployment: Deployment, now: str) -> str:
        """When one that starts now is expected to answer, by how long others took: two reads."""
        host = self._hosts.get(deployment.base_model, deployment.hardware) if deployment.is_shared else None
        warm = host is not None and host.ready_at is not None
        seconds = self._history.expected_seconds(deployment.base_model, deployment.hardware, deployment.kind, warm=warm)
        return clock.iso(clock.parse(now) + timedelta(seconds=seconds))


def _refuse_archived(model: Model | None) -> None:
    if model and model.status == ARCHIVED:
        raise Conflict(
            f"Model {model.id} is archived; it can be deployed only when it is ready.",
            details={"current": ARCHIVED, "required": ["ready", "deployed"]},
            remedy="Restore it first.",
        )


def _of_model(model: Model, *, own: bool) -> dict[str, Any]:
    folder = model.artifact_uri.rstrip("/")
    proven = any(file["path"] == _PROOF for file in model.files)
    return {
        "model_version": str(model.version),
        "job_id": model.job_id or None,
        "adapter_uri": None if own else f"{folder}/{_ARCHIVE}",
        "own_model_uri": model.served_uri if own else None,
        "proof_uri": f"{folder}/{_PROOF}" if proven else None,
    }
