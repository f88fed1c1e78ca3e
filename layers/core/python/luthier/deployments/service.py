"""Deploying models: from a finished job, or any model or base model by name."""

import logging

from luthier import clock, table
from luthier.accounts.entity import Principal
from luthier.catalog import service as catalog
from luthier.deployments.endpoints import Endpoints
from luthier.deployments.entity import DEPLOYED, DEPLOYING, Deployment, id_of
from luthier.deployments.store import DeploymentStore
from luthier.errors import Conflict, InvalidRequest, NotFound
from luthier.executions import Executions
from luthier.jobs import entity as jobs
from luthier.jobs.service import JobService
from luthier.models.entity import OWN_MODEL
from luthier.models.service import ModelService

logger = logging.getLogger(__name__)


class DeploymentService:
    def __init__(
        self,
        store: DeploymentStore,
        models: ModelService,
        jobs: JobService,
        executions: Executions,
        endpoints: Endpoints,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._models = models
        self._jobs = jobs
        self._executions = executions
        self._endpoints = endpoints
        self._now = now

    def deploy_job(self, principal: Principal, job_id: str) -> Deployment:
        """Deploy the result of a completed job. Repeating it is safe and answers how far it is."""
        job = self._jobs.get(principal, job_id)
        if job.status != jobs.COMPLETED or not job.result_model:
            raise Conflict(
                f"Job {job.id} is {job.status}; it can be deployed only when it is completed.",
                details={"current": job.status, "required": [jobs.COMPLETED]},
                remedy="Wait until the job has completed.",
            )
        return self.deploy_model(principal, job.result_model)

    def deploy_model(self, principal: Principal, name: str) -> Deployment:
        """Deploy a fine-tuned model or a base model by any of its names."""
        wanted = self._wanted(principal, name)
        for _ in range(3):
            current = self._store.get(principal.organization_id, wanted.target)
            if current and (current.status == DEPLOYING or self._serves(current)):
                self._start(current)
                return current
            new = current.again(wanted.created_at) if current else wanted
            try:
                self._store.save(current, new)
            except table.ConditionFailed:
                continue
            self._start(new)
            return new
        raise Conflict("Several requests deploy this model at once.", remedy="Try again.", retry_after=1)

    def _serves(self, deployment: Deployment) -> bool:
        """Whether what was deployed is still there; SageMaker, or somebody outside Luthier, may have removed it."""
        return deployment.status == DEPLOYED and self._endpoints.is_there(deployment)

    def find(self, organization_id: str, name: str) -> Deployment | None:
        """The deployment behind any name of a model; None where the model was never deployed.

        Raises NotFound for a name that no model has.
        """
        model = self._models.find(organization_id, name)
        return self._store.get(organization_id, model.id if model else self._base_model(name))

    def _wanted(self, principal: Principal, name: str) -> Deployment:
        model = self._models.find(principal.organization_id, name)
        base = catalog.find_base_model(model.base_model if model else self._base_model(name))
        target = model.id if model else base.id
        own = model is not None and model.serving["kind"] == OWN_MODEL
        now = clock.iso(self._now())
        return Deployment(
            id=id_of(principal.organization_id, target),
            organization_id=principal.organization_id,
            target=target,
            model_name=model.name if model else base.id,
            base_model=base.id,
            adapter_uri=model.served_uri if model and not own else None,
            own_model_uri=model.served_uri if model and own else None,
            hardware=catalog.serving_hardware(base).id,
            created_at=now,
            updated_at=now,
        )

    def _base_model(self, name: str) -> str:
        try:
            return catalog.find_base_model(name).id
        except InvalidRequest as error:
            raise NotFound(
                f"No model {name!r}.", code="model_not_found", param="model", remedy="List the models."
            ) from error

    def _start(self, deployment: Deployment) -> None:
        """Start the pipeline. If that fails now, the deployment stays `deploying` and the sweeper starts it."""
        if deployment.status == DEPLOYING:
            try:
                self._executions.start(deployment.execution_name, deployment.step)
            except Exception:
                logger.warning("The pipeline of %s did not start; the sweeper will start it.", deployment.id)
