"""Wire shape of a deployment's health on the endpoints surface; camelCase."""

from collections.abc import Sequence
from typing import Any, Self

from luthier.deployments.health import Health
from luthier.wire import CamelAnswer


class EndpointHealth(CamelAnswer):
    """responseTime: milliseconds that the check took; uptime: seconds since it came up; checks: `{status, message}`.

    status: healthy, degraded or unhealthy; readiness: ready, starting, sleeping, paused or not_ready.
    """

    endpoint_id: str
    status: str
    readiness: str
    last_checked: str
    response_time: int
    uptime: int | None
    version: str | None
    checks: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, health: Health, include: Sequence[str]) -> Self:
        more = {"dependencies": _dependencies, "resources": _resources, "connectivity": _connectivity}
        return cls(
            endpoint_id=health.deployment.id,
            status=health.status,
            readiness=health.readiness,
            last_checked=health.checked_at,
            response_time=health.response_ms,
            uptime=health.uptime_seconds,
            version=health.deployment.model_version,
            checks=health.checks | {name: more[name](health) for name in include},
        )


def _dependencies(health: Health) -> dict[str, Any]:
    known = health.deployment
    return {"model": known.model_name, "baseModel": known.base_model}


def _resources(health: Health) -> dict[str, Any]:
    known = health.deployment
    return {"hardware": known.hardware, "instanceType": known.instance_type, "workers": known.workers}


def _connectivity(health: Health) -> dict[str, Any]:
    return {"path": f"/v2/{health.deployment.id}/runsync"}
