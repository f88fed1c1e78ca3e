"""A deployment: a model that answers requests behind a SageMaker endpoint. Pure."""

import hashlib
from dataclasses import dataclass, replace
from typing import Any

DEPLOYING, DEPLOYED, FAILED = "deploying", "deployed", "failed"
# The channel under which SageMaker mounts the adapter, and so the adapter's name in the serving engine.
ADAPTER_CHANNEL = "adapter"


@dataclass(frozen=True)
class Deployment:
    """One target (a model id, or a base model's id) of one organization; a retry is a new attempt of it.

    `adapter_uri` is what is served over the base model, `own_model_uri` what is served in its place; both are None for
    a base model. Timestamps are ISO 8601 UTC; `version` counts writes.
    """

    id: str
    organization_id: str
    target: str
    model_name: str
    base_model: str
    adapter_uri: str | None
    hardware: str
    created_at: str
    updated_at: str
    status: str = DEPLOYING
    status_reason: dict[str, Any] | None = None
    attempt: int = 1
    ready_at: str | None = None
    own_model_uri: str | None = None
    version: int = 1

    @property
    def execution_name(self) -> str:
        return f"{self.id}-{self.attempt}".replace("_", "-")

    @property
    def endpoint_name(self) -> str:
        """Name of the SageMaker endpoint, its configuration and its model: at most 63 characters."""
        return f"luthier-{self.id.replace('_', '-')}-{self.attempt}"

    @property
    def job_id(self) -> str | None:
        """The job whose model this is; None for a base model. A model's id follows from its job's."""
        kind, _, unique = self.target.partition("_")
        return f"ftjob_{unique}" if kind == "model" and unique else None

    @property
    def step(self) -> dict[str, Any]:
        """Input of the state machine."""
        return {
            "organization_id": self.organization_id,
            "target": self.target,
            "attempt": self.attempt,
            "base_model": self.base_model,
        }

    def again(self, now: str) -> "Deployment":
        """The next attempt of a failed deployment, under an endpoint name that was never used."""
        return self._next(now, status=DEPLOYING, status_reason=None, attempt=self.attempt + 1, ready_at=None)

    def ready(self, now: str) -> "Deployment":
        return self._next(now, status=DEPLOYED, status_reason=None, ready_at=now)

    def failed(self, now: str, reason: dict[str, Any]) -> "Deployment":
        return self._next(now, status=FAILED, status_reason=reason)

    def _next(self, now: str, **changes: Any) -> "Deployment":
        return replace(self, updated_at=now, version=self.version + 1, **changes)


def id_of(organization_id: str, target: str) -> str:
    """The id of an organization's deployment of a target: the same every time."""
    digest = hashlib.sha256(f"{organization_id}/{target}".encode()).hexdigest()
    return f"ep_{digest[:20]}"
