"""Why a deployment does not answer now, and when it will."""

from datetime import datetime, timedelta

from luthier import clock
from luthier.deployments.entity import ACTIVE, DEPLOYING, FAILED, PAUSED, PAUSING, Deployment
from luthier.deployments.history import USUAL_SECONDS
from luthier.errors import Conflict, Unavailable

SLEEPING = "model_sleeping"
# The codes of `require_active`.
UNREADY = ("model_not_ready", "model_paused", "model_not_deployed")
# Clients honour a Retry-After of up to a minute (OpenAI's do), and guess for themselves beyond that.
_SOONEST, _LATEST = 5, 60


def require_active(deployment: Deployment | None, name: str, now: datetime) -> Deployment:
    """The deployment behind `name` when it can be asked. Raises Unavailable while it comes up, else Conflict."""
    if deployment and deployment.status == ACTIVE:
        return deployment
    if deployment and deployment.status == DEPLOYING:
        expected = deployment.estimated_ready_at
        raise Unavailable(
            f"Model {name!r} is being deployed.",
            code="model_not_ready",
            remedy=f"It is expected at {expected}." if expected else "Try again in a minute.",
            details={"deploymentId": deployment.id, "estimatedReadyTime": expected},
            retry_after=_until(clock.parse(expected), now) if expected else _LATEST,
        )
    if deployment and deployment.status in (PAUSED, PAUSING):
        raise Conflict(
            f"The deployment of model {name!r} is {deployment.status}.",
            code="model_paused",
            param="model",
            details={"deploymentId": deployment.id, "current": deployment.status, "required": [ACTIVE]},
            remedy=f"Resume it: POST /v2/training/deployments/{deployment.id}/resume.",
        )
    reason = deployment.status_reason if deployment else None
    if deployment and deployment.status == FAILED and reason:
        raise Conflict(
            f"Model {name!r} is not deployed: its deployment {deployment.id} has failed. {reason['message']}",
            code="model_not_deployed",
            param="model",
            details=reason,
            remedy=reason.get("hint") or "Deploy it again.",
        )
    raise Conflict(
        f"Model {name!r} is not deployed.",
        code="model_not_deployed",
        param="model",
        details=reason,
        remedy="Deploy it first.",
    )


def waking(deployment: Deployment, name: str, now: datetime) -> Unavailable:
    """What a request is told that has woken a deployment without copies. It takes about as long as coming up took."""
    span = timedelta(seconds=USUAL_SECONDS)
    if deployment.ready_at:
        span = clock.parse(deployment.ready_at) - clock.parse(deployment.started_at)
    expected = now + span
    return Unavailable(
        f"Model {name!r} sleeps; this request has begun to wake it.",
        code="model_sleeping",
        remedy=f"Try again; it is expected by {clock.iso(expected)}.",
        details={"deploymentId": deployment.id, "estimatedReadyTime": clock.iso(expected)},
        retry_after=_until(expected, now),
    )


def _until(moment: datetime, now: datetime) -> int:
    return max(_SOONEST, min(_LATEST, int((moment - now).total_seconds())))
