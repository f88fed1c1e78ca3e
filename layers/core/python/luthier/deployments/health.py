"""How a deployment is: what its record says, what SageMaker says of it, and whether it answers."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from luthier import clock
from luthier.accounts.entity import Principal
from luthier.aliases.service import AliasService
from luthier.deployments.endpoints import Endpoints
from luthier.deployments.entity import ACTIVE, DEPLOYING, PAUSED, PAUSING, Deployment
from luthier.deployments.probe import Probe
from luthier.deployments.service import DeploymentService
from luthier.errors import LuthierError, NotFound
from luthier.inference.readiness import SLEEPING

HEALTHY, DEGRADED, UNHEALTHY = "healthy", "degraded", "unhealthy"
BASIC, DETAILED, DEEP = "basic", "detailed", "deep"
# API Gateway gives up after 29 s.
_LONGEST = 25
_READINESS = {ACTIVE: "ready", DEPLOYING: "starting", PAUSING: "paused", PAUSED: "paused"}
_GRAVITY = (HEALTHY, DEGRADED, UNHEALTHY)


@dataclass(frozen=True)
class Health:
    """checks: each {status, message} and what else it found; response_ms: how long all of them took."""

    deployment: Deployment
    status: str
    readiness: str
    checked_at: str
    response_ms: int
    uptime_seconds: int | None
    checks: dict[str, dict[str, Any]]


class HealthService:
    def __init__(
        self,
        deployments: DeploymentService,
        aliases: AliasService,
        endpoints: Endpoints,
        probe: Probe,
        now: clock.Clock = clock.now,
    ) -> None:
        self._deployments = deployments
        self._aliases = aliases
        self._endpoints = endpoints
        self._probe = probe
        self._now = now

    def check(self, principal: Principal, name: str, *, depth: str = BASIC, seconds: int = 10) -> Health:
        """How the deployment behind an id or name is; of an alias that of its heaviest route. A deep check asks it,
        which wakes it.

        seconds: how long a deep check waits for the answer.

        Raises NotFound.
        """
        alias = self._aliases.find(principal.organization_id, name)
        route = max(alias.routes, key=lambda one: one.weight) if alias else None
        deployment = self._deployments.find(principal.organization_id, route.deployment_id if route else name)
        if deployment is None:
            raise NotFound(f"{name!r} has no deployment.", param="endpoint", remedy="Deploy the model first.")
        started, now = time.perf_counter(), self._now()
        readiness = _READINESS.get(deployment.status, "not_ready")
        checks = {"api": _of_record(deployment)}
        if deployment.status == ACTIVE and depth != BASIC:
            checks["endpoint"] = self._of_endpoint(deployment)
            readiness = "sleeping" if checks["endpoint"].get("copies") == 0 else readiness
        if deployment.status == ACTIVE and depth == DEEP:
            checks["model"] = self._of_model(deployment, min(seconds, _LONGEST))
            readiness = checks["model"].pop("readiness", readiness)
        status = max((check["status"] for check in checks.values()), key=_GRAVITY.index)
        ready_at = deployment.ready_at if deployment.status == ACTIVE else None
        return Health(
            deployment=deployment,
            status=status,
            readiness=readiness if status != UNHEALTHY or readiness != "ready" else "not_ready",
            checked_at=clock.iso(now),
            response_ms=round(1_000 * (time.perf_counter() - started)),
            uptime_seconds=int((now - clock.parse(ready_at)).total_seconds()) if ready_at else None,
            checks=checks,
        )

    def _of_endpoint(self, deployment: Deployment) -> dict[str, Any]:
        described = self._endpoints.component(deployment.component_name)
        if described is None:
            return _found(UNHEALTHY, "SageMaker has no such inference component any more; deploy the model again.")
        state = described["InferenceComponentStatus"]
        # An adapter has the copies of its base.
        base = (
            described if deployment.adapter_uri is None else self._endpoints.component(deployment.base_component_name)
        )
        copies = (base or {}).get("RuntimeConfig", {}).get("CurrentCopyCount")
        healthy = {"InService": HEALTHY, "Updating": DEGRADED}.get(state, UNHEALTHY)
        return _found(healthy, f"Its inference component is {state}.") | {"copies": copies}

    def _of_model(self, deployment: Deployment, seconds: int) -> dict[str, Any]:
        started = time.perf_counter()
        threads = ThreadPoolExecutor(1)
        try:
            threads.submit(self._probe.prove, deployment).result(timeout=seconds)
        except TimeoutError:
            return _found(UNHEALTHY, f"It did not answer within {seconds} s.")
        except LuthierError as error:
            if error.code == SLEEPING:
                return _found(HEALTHY, "It sleeps; this check wakes it.") | {"readiness": "sleeping"}
            return _found(UNHEALTHY, error.sentence())
        finally:
            # An answer that comes too late is nobody's.
            threads.shutdown(wait=False, cancel_futures=True)
        return _found(HEALTHY, "It answered.") | {"latencyMs": round(1_000 * (time.perf_counter() - started))}


def _of_record(deployment: Deployment) -> dict[str, Any]:
    reason = (deployment.status_reason or {}).get("message")
    status = {ACTIVE: HEALTHY, DEPLOYING: DEGRADED}.get(deployment.status, UNHEALTHY)
    return _found(status, f"The deployment is {deployment.status}." + (f" {reason}" if reason else ""))


def _found(status: str, message: str) -> dict[str, Any]:
    return {"status": status, "message": message}
