"""What the deployment state machine does, step by step, and healing what it forgot."""

from datetime import timedelta
from typing import Any

from luthier import clock
from luthier.deployments.endpoints import Endpoints
from luthier.deployments.entity import DEPLOYING, Deployment
from luthier.deployments.store import DeploymentStore
from luthier.errors import NotFound
from luthier.events.entity import event
from luthier.executions import RUNNING, Executions
from luthier.jobs.outcome import reason_of
from luthier.jobs.store import JobStore

# A new deployment may be seconds away from its StartExecution; only an older one was forgotten.
_GRACE = timedelta(seconds=30)
_INTERRUPTED = {
    "Error": "Interrupted",
    "Cause": '{"code": "interrupted", "message": "The deployment was cut off.", "hint": "Deploy again."}',
}


class DeploymentPipeline:
    """Each step may run twice and means the same."""

    def __init__(
        self,
        store: DeploymentStore,
        jobs: JobStore,
        endpoints: Endpoints,
        executions: Executions,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._endpoints = endpoints
        self._executions = executions
        self._now = now

    def create_endpoint(self, organization_id: str, target: str, model_uri: str) -> None:
        self._endpoints.create(self._current(organization_id, target), model_uri)

    def check_endpoint(self, organization_id: str, target: str) -> str:
        """SageMaker's EndpointStatus. Raises when the endpoint will not come up."""
        return self._endpoints.status(self._current(organization_id, target))

    def probe_endpoint(self, organization_id: str, target: str) -> None:
        """Ask one short question. Raises unless it is answered."""
        self._endpoints.probe(self._current(organization_id, target))

    def settle(self, organization_id: str, target: str, attempt: int, error: dict[str, Any] | None) -> Deployment:
        """Mark it deployed, or say why not and remove what was made."""
        deployment = self._current(organization_id, target)
        if deployment.attempt != attempt or deployment.status != DEPLOYING:
            return deployment
        now = clock.iso(self._now())
        if error is None:
            new, name = deployment.ready(now), "model.deployed"
        else:
            self._endpoints.remove(deployment)
            new, name = deployment.failed(now, reason_of(error)), "deployment.failed"
        self._store.save(deployment, new, event(name, organization_id, now, _facts(new)), self._callback(new))
        return new

    def _callback(self, deployment: Deployment) -> str | None:
        """The `webhookUrl` of the job whose model this is."""
        job = self._jobs.get(deployment.organization_id, deployment.job_id) if deployment.job_id else None
        return job.webhook_url if job else None

    def sweep(self) -> list[str]:
        """Settle or start every deployment that its pipeline has forgotten; the targets that were healed."""
        return [target for organization_id, target in self._store.deploying() if self._heal(organization_id, target)]

    def _heal(self, organization_id: str, target: str) -> bool:
        deployment = self._current(organization_id, target)
        if deployment.status != DEPLOYING or self._now() - clock.parse(deployment.updated_at) < _GRACE:
            return False
        status = self._executions.status(deployment.execution_name)
        if status is None:
            self._executions.start(deployment.execution_name, deployment.step)
        elif status != RUNNING:
            self.settle(organization_id, target, deployment.attempt, _INTERRUPTED)
        return status != RUNNING

    def _current(self, organization_id: str, target: str) -> Deployment:
        deployment = self._store.get(organization_id, target)
        if deployment is None:
            raise NotFound(f"No deployment of {target!r}.")
        return deployment


def _facts(deployment: Deployment) -> dict[str, Any]:
    return {
        "deploymentId": deployment.id,
        "model": deployment.model_name,
        "baseModel": deployment.base_model,
        "jobId": deployment.job_id,
        "artifact": deployment.model_name,
        "endpoint": deployment.endpoint_name,
        "reason": deployment.status_reason,
    }
