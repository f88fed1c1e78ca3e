"""Deployments as their owner sees them: deploying models, changing, pausing, resuming and deleting what is deployed."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from luthier import clock, table
from luthier.accounts.entity import Principal
from luthier.aliases.store import AliasStore
from luthier.deployments.drafts import Drafts
from luthier.deployments.endpoints import Endpoints
from luthier.deployments.entity import (
    ACTIVE,
    DELETED,
    DELETING,
    DEPLOYING,
    FAILED,
    MOVING,
    PAUSED,
    PAUSING,
    Deployment,
    Host,
)
from luthier.deployments.hosts import HostStore
from luthier.deployments.store import DeploymentStore
from luthier.deployments.wishes import Wish, workers_and_scaling
from luthier.errors import Conflict, NotFound
from luthier.executions import Executions
from luthier.jobs import entity as jobs
from luthier.jobs.service import JobService

logger = logging.getLogger(__name__)


class DeploymentService:
    def __init__(
        self,
        store: DeploymentStore,
        drafts: Drafts,
        jobs: JobService,
        executions: Executions,
        endpoints: Endpoints,
        hosts: HostStore,
        aliases: AliasStore,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._drafts = drafts
        self._jobs = jobs
        self._executions = executions
        self._endpoints = endpoints
        self._hosts = hosts
        self._aliases = aliases
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

    def deploy_model(self, principal: Principal, name: str, wish: Wish | None = None) -> Deployment:
        """Deploy a fine-tuned model or a base model by any of its names. Repeating it answers the same deployment.

        Raises NotFound, InvalidRequest, Unprocessable where no GPU is available or large enough, Conflict for an
        archived model, and where the deployment is there with other settings.
        """
        wish = wish or Wish()
        wanted = self._drafts.draw(principal, name, wish)
        deployed = table.until_unchanged("this deployment", lambda: self._deploy(wanted, wish))
        self._start(deployed)
        return deployed

    def _deploy(self, wanted: Deployment, wish: Wish) -> Deployment:
        current = self._store.get(wanted.organization_id, wanted.id)
        if current is None:
            self._store.save(None, wanted)
            return wanted
        if current.status in (PAUSING, DELETING):
            raise _illegal("deployed", current, ACTIVE, PAUSED, FAILED)
        if current.is_moving or (current.status == ACTIVE and self._endpoints.stand(current.components)):
            if other := wish.contradicts(current):
                raise Conflict(
                    f"{current.id} is {current.status} with another {other}.",
                    param=other,
                    details={"deploymentId": current.id, "current": current.status, "required": [PAUSED, FAILED]},
                    remedy=f"Change it by PATCH /v2/training/deployments/{current.id}, or give this one another name.",
                )
            return current
        # Failed, paused, or removed by SageMaker or somebody outside Luthier.
        new = current.again(wanted)
        self._store.save(current, new)
        return new

    def find(self, organization_id: str, name: str) -> Deployment | None:
        """The deployment behind its id or any name of a model; None where the model was never deployed.

        Of several of a model an active one answers, rather one in production, then one that never sleeps, then the
        newest. Raises NotFound for a name that nothing has.
        """
        if name.startswith("ep_"):
            return self._found(organization_id, name)
        return self._store.of_target(organization_id, self._drafts.target(organization_id, name))

    def get(self, principal: Principal, deployment_id: str) -> Deployment:
        return self._found(principal.organization_id, deployment_id)

    def host(self, deployment: Deployment) -> Host | None:
        """The host of a shared deployment that holds a place."""
        if not deployment.holds_a_place:
            return None
        return self._hosts.get(deployment.base_model, deployment.hardware)

    def list(
        self,
        principal: Principal,
        *,
        status: str | None = None,
        environment: str | None = None,
        model: str | None = None,
    ) -> list[Deployment]:
        """Those that match every filter, newest first. model: any name of it."""
        target = self._drafts.target(principal.organization_id, model) if model else None
        wanted = {"status": status, "environment": environment, "target": target}
        return [
            one
            for one in self._store.of_organization(principal.organization_id)
            if all(value in (None, getattr(one, field)) for field, value in wanted.items())
        ]

    def update(
        self,
        principal: Principal,
        deployment_id: str,
        *,
        workers: int | None,
        configuration: dict[str, Any] | None,
        scaling: dict[str, Any] | None,
        unscaled: bool = False,
    ) -> Deployment:
        """Change settings; fields that are not there stay.

        configuration: None takes a default back; unscaled: back to a fixed number of workers.
        """

        def change(current: Deployment) -> Deployment:
            if current.status not in (ACTIVE, PAUSED) or current.updating:
                raise _illegal("changed", current, ACTIVE, PAUSED)
            merged = current.configuration | (configuration or {})
            kept = {name: value for name, value in merged.items() if value is not None}
            changes: dict[str, Any] = {"configuration": kept}
            resized = workers is not None or scaling is not None or unscaled
            if resized:
                changes |= self._resized(current, workers, scaling, unscaled=unscaled)
            return current.changed(self._iso(), apply=resized and current.status == ACTIVE, **changes)

        return self._change(principal, deployment_id, change)

    def _resized(
        self, current: Deployment, workers: int | None, scaling: dict[str, Any] | None, *, unscaled: bool
    ) -> dict[str, Any]:
        if current.is_shared:
            raise Conflict(
                f"{current.id} is shared, and has no workers of its own.",
                param="workers" if workers is not None else "scaling",
                details={"current": current.kind, "required": ["dedicated"]},
                remedy="Deploy the model once more under another name with kind dedicated.",
            )
        kept = None if unscaled else current.scaling
        sent = scaling if scaling is not None or kept is None else {}
        begin = workers if workers is not None else _within(current.workers, kept, scaling)
        begins, bounds = workers_and_scaling(begin, sent, kept)
        cost = current.cost_per_hour / current.workers * begins
        # Where the load decides how many there are, only a number that was asked for is one to set now.
        copies = begins if workers is not None and bounds is not None else None
        return {"workers": begins, "scaling": bounds, "cost_per_hour": cost, "copies": copies}

    def pause(self, principal: Principal, deployment_id: str) -> Deployment:
        """Remove what answers requests, and keep its settings. Repeating it is safe."""

        def change(current: Deployment) -> Deployment:
            if current.status in (PAUSING, PAUSED):
                return current
            if current.status != ACTIVE:
                raise _illegal("paused", current, ACTIVE)
            return current.heading(self._iso(), PAUSED, PAUSING)

        return self._change(principal, deployment_id, change)

    def resume(self, principal: Principal, deployment_id: str) -> Deployment:
        """Bring a paused one up again. Repeating it is safe."""

        def change(current: Deployment) -> Deployment:
            if current.status in (DEPLOYING, ACTIVE):
                return current
            if current.status != PAUSED:
                raise _illegal("resumed", current, PAUSED)
            now = self._iso()
            return current.resumed(now, self._drafts.estimated_ready(current, now))

        return self._change(principal, deployment_id, change)

    def delete(self, principal: Principal, deployment_id: str) -> Deployment:
        """Remove it, whatever it is doing. Repeating it is safe until it is gone.

        Raises Conflict for the only deployment left that an alias leads to, or would if it moved back.
        """

        def change(current: Deployment) -> Deployment:
            if current.status == DELETING:
                return current
            if names := self._stranded(current):
                raise Conflict(
                    f"{current.id} is all that is left of what {', '.join(names)} leads to, or would move back to.",
                    details={"aliases": [*names]},
                    remedy="Move or delete the alias, or wait until its last move is no longer watched.",
                )
            return current.heading(self._iso(), DELETED, DELETING)

        return self._change(principal, deployment_id, change)

    def _stranded(self, leaving: Deployment) -> Sequence[str]:
        """Names of the aliases that would lead nowhere without this deployment, now or after moving back."""

        def stays(deployment_id: str) -> bool:
            other = self._store.get(leaving.organization_id, deployment_id) if deployment_id != leaving.id else None
            return other is not None and other.status != DELETING

        now = self._now()
        return [
            alias.name
            for alias in self._aliases.holders(leaving.organization_id, leaving.id, now)
            for way in alias.ways(now)
            if leaving.id in (ids := [route.deployment_id for route in way]) and not any(map(stays, ids))
        ]

    def _change(
        self, principal: Principal, deployment_id: str, change: Callable[[Deployment], Deployment]
    ) -> Deployment:
        """Write what `change` makes of the deployment, and start what carries it out."""

        def attempt() -> Deployment:
            current = self._found(principal.organization_id, deployment_id)
            new = change(current)
            if new is not current:
                self._store.save(current, new)
            return new

        changed = table.until_unchanged("this deployment", attempt)
        self._start(changed)
        return changed

    def _found(self, organization_id: str, deployment_id: str) -> Deployment:
        found = self._store.get(organization_id, deployment_id)
        if found is None:
            raise NotFound(f"No deployment {deployment_id!r}.", param="deployment", remedy="List the deployments.")
        return found

    def _start(self, deployment: Deployment) -> None:
        """Start its run, unless it was. If that fails now, the deployment stays as it is and the sweeper starts it."""
        if deployment.is_moving:
            try:
                self._executions.start(deployment.execution_name, deployment.step)
            except Exception:
                logger.warning("The run of %s did not start; the sweeper will start it.", deployment.id)

    def _iso(self) -> str:
        return clock.iso(self._now())


def _illegal(done: str, current: Deployment, *required: str) -> Conflict:
    state = "updating" if current.updating else current.status
    return Conflict(
        f"{current.id} is {state}; it can be {done} only when it is {' or '.join(required)}.",
        details={"current": state, "required": list(required)},
        remedy="Wait a while." if current.status in MOVING or current.updating else None,
    )


def _within(workers: int, now: dict[str, Any] | None, sent: dict[str, Any] | None) -> int | None:
    """The workers that there are, moved into bounds that only change around them."""
    bounds = (now or {}) | (sent or {})
    if not bounds:
        return workers
    least, most = bounds.get("min_workers", 1), bounds.get("max_workers", max(workers, 1))
    return max(min(workers, most), least, 1)
