"""What a client asks of a deployment, and what becomes of it where nothing was asked. Pure."""

from dataclasses import dataclass
from typing import Any

from luthier.deployments.entity import DEDICATED, PRODUCTION, SHARED, Deployment
from luthier.errors import InvalidRequest

MOST_WORKERS = 20
_DEFAULT_UTILIZATION = 0.7
CONFIGURATION = ("max_tokens", "temperature", "top_p", "repetition_penalty")


@dataclass(frozen=True)
class Wish:
    """As it was sent, None for what was not. scaling: the fields that were sent, None for no scaling at all."""

    name: str | None = None
    environment: str = PRODUCTION
    kind: str | None = None
    gpu_type: str | None = None
    workers: int | None = None
    scaling: dict[str, Any] | None = None
    configuration: dict[str, Any] | None = None

    def kind_for(self, *, own_weights: bool) -> str:
        """Shared unless something asks for workers of its own. Raises InvalidRequest for a contradiction."""
        own = self._needs_own()
        if own_weights and self.kind == SHARED:
            raise InvalidRequest(
                "kind is shared, but this model has weights of its own, which no other can stand on.",
                param="kind",
                remedy="Leave it out, or send dedicated.",
            )
        if own and self.kind == SHARED:
            raise InvalidRequest(
                f"{own} asks for workers of its own, and a shared deployment has none.",
                param=own,
                remedy="Leave it out, or send kind dedicated.",
            )
        return self.kind or (DEDICATED if own or own_weights else SHARED)

    def _needs_own(self) -> str | None:
        if self.scaling is not None:
            return "scaling"
        return "workers" if (self.workers or 1) > 1 else None

    def contradicts(self, there: Deployment) -> str | None:
        """The first thing that was sent and is otherwise in a deployment that is there."""
        sent = {
            "kind": self.kind,
            "gpuType": self.gpu_type,
            "workers": self.workers,
            "scaling": self.scaling,
            "configuration": self.configuration,
        }
        has: dict[str, Any] = {"kind": there.kind, "gpuType": there.gpu_type, "workers": there.workers}
        has |= {"scaling": _of_sent(there.scaling, self.scaling)}
        has |= {"configuration": _of_sent(there.configuration, self.configuration)}
        return next((name for name, value in sent.items() if value is not None and value != has[name]), None)


def _of_sent(has: dict[str, Any] | None, sent: dict[str, Any] | None) -> dict[str, Any]:
    return {name: (has or {}).get(name) for name in sent or {}}


def workers_and_scaling(
    workers: int | None, sent: dict[str, Any] | None, now: dict[str, Any] | None = None
) -> tuple[int, dict[str, Any] | None]:
    """Workers to begin with and the bounds that they are to stay in. now: bounds that the sent ones change.

    Raises InvalidRequest, which names the field.
    """
    if sent is None:
        return workers or 1, None
    merged = (now or {}) | sent
    least = merged.get("min_workers", 1)
    most = merged.get("max_workers", max(least, workers or 1, 1))
    if least > most:
        raise InvalidRequest(
            f"scaling.minWorkers is {least}; it must not exceed scaling.maxWorkers, which is {most}.",
            param="scaling.minWorkers",
            remedy="Lower the first or raise the second.",
        )
    # What may sleep still begins with one.
    begins = workers if workers is not None else max(1, least)
    if not least <= begins <= most:
        raise InvalidRequest(
            f"workers is {begins}; it must lie from scaling.minWorkers to scaling.maxWorkers, {least} to {most}.",
            param="workers",
            remedy="Change it, or the bounds.",
        )
    utilization = merged.get("target_utilization", _DEFAULT_UTILIZATION)
    return begins, {"min_workers": least, "max_workers": most, "target_utilization": utilization}
