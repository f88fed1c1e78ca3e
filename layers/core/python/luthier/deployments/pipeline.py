"""What the deployment state machine does, step by step, and healing what it forgot."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

from luthier import clock, table
from luthier.deployments.entity import ACTIVE, DELETED, DEPLOYING, FAILED, PAUSED, Deployment
from luthier.deployments.history import History
from luthier.deployments.hosts import Hosts
from luthier.deployments.placement import GONE, PLACED, Placement
from luthier.deployments.store import DeploymentStore
from luthier.events.entity import Event, event
from luthier.executions import RUNNING, Executions
from luthier.jobs.outcome import reason_of
from luthier.jobs.store import JobStore

# A new run may be seconds away from its StartExecution; only an older one was forgotten.
_GRACE = timedelta(seconds=30)
# What was lost before, and served no longer than this since then, would be lost once more.
_STEADY = timedelta(minutes=15)
# How long to wait between two looks at SageMaker: what is quick is seen soon, what is slow costs few steps.
_QUICK, _QUICK_SECONDS, _SLOW_SECONDS = timedelta(minutes=2), 5, 20
_INTERRUPTED = {"code": "interrupted", "message": "The deployment was cut off.", "hint": "Deploy again."}
_LOST = {"code": "interrupted", "message": "SageMaker gave up what served it.", "hint": "It is brought up again."}
_LOST_AGAIN = {
    "code": "deployment_failed",
    "message": "What served it was lost again soon after it had come up.",
    "hint": "The endpoint's log group tells more; then deploy again.",
}
_EVENTS = {ACTIVE: "model.deployed", FAILED: "deployment.failed", PAUSED: "deployment.paused"}


class Proof(Protocol):
    """What must hold before a deployment says that it is active."""

    def prove(self, deployment: Deployment) -> dict[str, Any]:
        """The numbers that prove it. Raises Unprocessable with the code deployment_failed."""


class DeploymentPipeline:
    """Each step may run twice and means the same. proof: of models with a `proof_uri`; probe: of others."""

    def __init__(
        self,
        store: DeploymentStore,
        jobs: JobStore,
        placement: Placement,
        hosts: Hosts,
        executions: Executions,
        history: History,
        *,
        proof: Proof,
        probe: Proof,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._placement = placement
        self._hosts = hosts
        self._executions = executions
        self._history = history
        self._proof = proof
        self._probe = probe
        self._now = now

    def place(self, organization_id: str, deployment_id: str, run: int, model_uri: str = "") -> dict[str, Any]:
        """`{status: placed | waiting | gone, seconds}`: one step nearer to the goal, and when to look again.

        model_uri: prefix of the staged base model; needed where the goal is to be active.
        """
        deployment = self._at_work(organization_id, deployment_id, run)
        status = self._placement.step(deployment, model_uri) if deployment else GONE
        age = self._now() - clock.parse(deployment.updated_at) if deployment else timedelta()
        return {"status": status, "seconds": _QUICK_SECONDS if age < _QUICK else _SLOW_SECONDS}

    def prove(self, organization_id: str, deployment_id: str, run: int) -> dict[str, Any] | None:
        """The numbers of the proof; None for what answers requests already. Raises unless it is proven."""
        deployment = self._at_work(organization_id, deployment_id, run)
        if deployment is None or deployment.goal != ACTIVE or deployment.status == ACTIVE:
            return None
        return (self._proof if deployment.proof_uri else self._probe).prove(deployment)

    def settle(
        self,
        organization_id: str,
        deployment_id: str,
        run: int,
        *,
        status: str,
        proof: dict[str, Any] | None = None,
        error: dict[str, Any] | None = None,
    ) -> bool:
        """Whether the run is over. If not, what was made has to be removed first: place it again.

        status: what placing it answered last; error: as the state machine caught it, of whichever step.
        """
        deployment = self._at_work(organization_id, deployment_id, run)
        if deployment is None:
            return True
        try:
            return self._settle(deployment, status, proof, reason_of(error) if error else None)
        except table.ConditionFailed:
            # Its goal has changed meanwhile, which the next step sees.
            return False

    def _settle(
        self, deployment: Deployment, status: str, proof: dict[str, Any] | None, reason: dict[str, Any] | None
    ) -> bool:
        now = clock.iso(self._now())
        if deployment.goal == ACTIVE and deployment.status == DEPLOYING and reason:
            self._store.save(deployment, deployment.failing(now, reason))
            return False
        if not self._has_arrived(deployment, status, reason):
            return False
        if deployment.goal == DELETED:
            deleted = self._event("deployment.deleted", deployment, now)
            self._store.delete(deployment, deleted, self._callback(deployment))
            return True
        new = deployment.settled(now, proof, reason)
        changed = new.status != deployment.status
        told = self._event(_EVENTS[new.status], new, now) if changed else None
        self._store.save(deployment, new, told, self._callback(new) if changed else None)
        if changed and new.status == ACTIVE:
            seconds = (self._now() - clock.parse(new.started_at)).total_seconds()
            self._history.record(new.base_model, new.hardware, new.kind, warm=new.warm, seconds=seconds)
        return True

    @staticmethod
    def _has_arrived(deployment: Deployment, status: str, reason: dict[str, Any] | None) -> bool:
        if deployment.goal != ACTIVE:
            return status == GONE and reason is None
        # A change of scaling that failed leaves the deployment as it is, with the reason.
        return reason is not None or status == PLACED

    def _event(self, name: str, deployment: Deployment, now: str) -> Event:
        return event(name, deployment.organization_id, now, _facts(deployment))

    def _callback(self, deployment: Deployment) -> str | None:
        """The `webhookUrl` of the job whose model this is."""
        job = self._jobs.get(deployment.organization_id, deployment.job_id) if deployment.job_id else None
        return job.webhook_url if job else None

    def sweep(self) -> list[str]:
        """Heal every deployment whose run is forgotten or whose server is lost, then look after the hosts.

        Returns the ids of what was healed.
        """
        # What came up since then is not in the listing, but does not rest for long either.
        rested, standing = clock.iso(self._now() - _GRACE), self._placement.standing()
        healed = []
        for organization_id, deployment_id in self._store.live():
            found = self._store.get(organization_id, deployment_id)
            if found and found.updated_at <= rested and self._heal(found, standing):
                healed.append(found.id)
        self._hosts.sweep()
        self._placement.renew_hosts()
        return healed

    def _heal(self, deployment: Deployment, standing: frozenset[str]) -> bool:
        if not deployment.is_moving:
            if deployment.status != ACTIVE or not self._placement.is_lost(deployment, standing):
                return False
            return self._run_anew(deployment, self._brought_back(deployment))
        status = self._executions.status(deployment.execution_name)
        if status == RUNNING:
            return False
        if status is not None:
            return self._run_anew(deployment, _after_a_cut(deployment, clock.iso(self._now())))
        self._executions.start(deployment.execution_name, deployment.step)
        return True

    def _brought_back(self, deployment: Deployment) -> Deployment:
        """One whose server is lost, on its way up; on its way down where it was lost before and came up in vain."""
        now = self._now()
        seconds = self._history.expected_seconds(
            deployment.base_model, deployment.hardware, deployment.kind, warm=False
        )
        expected = clock.iso(now + timedelta(seconds=seconds))
        lasted = now - clock.parse(deployment.ready_at or deployment.started_at)
        again = replace(deployment.resumed(clock.iso(now), expected), lost_at=clock.iso(now))
        if deployment.lost_at and lasted < _STEADY:
            return replace(again, goal=FAILED, status_reason=_LOST_AGAIN)
        return replace(again, status_reason=_LOST)

    def _run_anew(self, old: Deployment, new: Deployment) -> bool:
        """Start the run of a deployment that was not told to: False where somebody else was faster."""
        try:
            self._store.save(old, new)
        except table.ConditionFailed:
            return False
        self._executions.start(new.execution_name, new.step)
        return True

    def _at_work(self, organization_id: str, deployment_id: str, run: int) -> Deployment | None:
        """The deployment, while it is this run that works on it."""
        deployment = self._store.get(organization_id, deployment_id)
        return deployment if deployment and deployment.run == run and deployment.is_moving else None


def _after_a_cut(deployment: Deployment, now: str) -> Deployment:
    """Its run was cut off: one that was to come up fails, once what was made is removed; others go on."""
    interrupted = deployment.status == DEPLOYING and deployment.goal == ACTIVE
    return deployment.run_again(now, _INTERRUPTED if interrupted else None)


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
