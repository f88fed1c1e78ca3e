"""A deployment: a model that answers requests behind a SageMaker endpoint, and the host that several share. Pure."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

from luthier import clock

DEPLOYING, ACTIVE, PAUSING, PAUSED, DELETING, FAILED = "deploying", "active", "pausing", "paused", "deleting", "failed"
DELETED = "deleted"  # a goal only: what is deleted has no record
SHARED, DEDICATED = "shared", "dedicated"
PRODUCTION = "production"
# Something is made or removed while a deployment is in one of these.
MOVING = (DEPLOYING, PAUSING, DELETING)


@dataclass(frozen=True)
class Deployment:
    """One target (a model's id, or a base model's) of one organization under a name in an environment.

    kind: `shared` stands on a host beside others, `dedicated` has an endpoint of its own. `adapter_uri` is the archive
    served over the base model, `own_model_uri` what is served in its place; both are None for a base model.
    scaling: `{min_workers, max_workers, target_utilization}`, None for a fixed number of workers; configuration:
    `{max_tokens, temperature, top_p, repetition_penalty}`, the defaults of its requests.
    goal: what the state machine works towards; run: counts its executions; attempt: counts names in SageMaker;
    discarded: attempts whose remains are to be removed; choice: which of the hardware's instance types is tried;
    updating: an active one whose scaling is being changed; warm: whether its host was up when it was placed;
    rolled_to: the SageMaker model that its weights were last rolled to; lost_at: when SageMaker last gave up what
    served it, None since somebody deployed or resumed it.
    copies: what an update sets beside a scaling that goes on from there, None otherwise.
    Timestamps are ISO 8601 UTC; `version` counts writes; cost_per_hour in the catalogue's currency.
    """

    id: str
    organization_id: str
    target: str
    name: str
    kind: str
    hardware: str
    base_model: str
    model_name: str
    created_at: str
    updated_at: str
    started_at: str
    environment: str = PRODUCTION
    gpu_type: str | None = None
    workers: int = 1
    scaling: dict[str, Any] | None = None
    configuration: dict[str, Any] = field(default_factory=dict)
    model_version: str | None = None
    job_id: str | None = None
    adapter_uri: str | None = None
    own_model_uri: str | None = None
    proof_uri: str | None = None
    host: str | None = None
    warm: bool = False
    instance_type: str | None = None
    cost_per_hour: float = 0.0
    goal: str = ACTIVE
    status: str = DEPLOYING
    status_reason: dict[str, Any] | None = None
    updating: bool = False
    copies: int | None = None
    run: int = 1
    attempt: int = 1
    choice: int = 0
    discarded: list[int] = field(default_factory=list)
    rolled_to: str | None = None
    estimated_ready_at: str | None = None
    ready_at: str | None = None
    lost_at: str | None = None
    proof: dict[str, Any] | None = None
    version: int = 1

    @property
    def is_shared(self) -> bool:
        return self.kind == SHARED

    @property
    def is_of_base(self) -> bool:
        """Whether it serves a base model as it is."""
        return self.target == self.base_model

    @property
    def is_moving(self) -> bool:
        """Whether an execution works on it."""
        return self.status in MOVING or self.updating

    @property
    def holds_a_place(self) -> bool:
        """Whether its host counts it among its tenants."""
        return self.is_shared and self.status in (*MOVING, ACTIVE)

    @property
    def execution_name(self) -> str:
        return f"{self.id}-{clock.epoch(self.created_at)}-{self.run}".replace("_", "-")

    @property
    def own_name(self) -> str:
        """Name of what this attempt alone has in SageMaker: its adapter, its own endpoint. At most 63 characters."""
        return self.name_of(self.attempt)

    def name_of(self, attempt: int) -> str:
        return f"luthier-{self.id.replace('_', '-')}-{attempt}"

    @property
    def endpoint_name(self) -> str:
        return self.host or self.own_name

    @property
    def component_name(self) -> str:
        """What a request names: the adapter's inference component, else the one that holds the weights."""
        return self.own_name if self.adapter_uri else self.base_component_name

    @property
    def base_component_name(self) -> str:
        """What a request names to ask the base model alone, or a model of its own."""
        return base_component(self.endpoint_name)

    @property
    def components(self) -> tuple[str, ...]:
        """The inference components without which it cannot answer."""
        return tuple(dict.fromkeys((self.component_name, self.base_component_name)))

    @property
    def step(self) -> dict[str, Any]:
        """Input of the state machine."""
        return {
            "organization_id": self.organization_id,
            "deployment_id": self.id,
            "run": self.run,
            "goal": self.goal,
            "base_model": self.base_model,
        }

    @property
    def facts(self) -> dict[str, Any]:
        """What the model's record says of it."""
        names = ("name", "environment", "status", "workers", "created_at")
        return {name: getattr(self, name) for name in names}

    def estimated(self, ready_at: str) -> "Deployment":
        return replace(self, estimated_ready_at=ready_at)

    def again(self, wanted: "Deployment") -> "Deployment":
        """Brought up as `wanted` from failed or paused, or after somebody removed it, under names never used."""
        return replace(
            wanted,
            created_at=self.created_at,
            run=self.run + 1,
            attempt=self.attempt + 1,
            discarded=[*self.discarded, self.attempt],
            version=self.version + 1,
        )

    def resumed(self, now: str, estimated_ready_at: str) -> "Deployment":
        """Brought up again with the settings that it has."""
        wanted = replace(
            self,
            goal=ACTIVE,
            status=DEPLOYING,
            status_reason=None,
            host=None,
            warm=False,
            choice=0,
            copies=None,
            rolled_to=None,
            lost_at=None,
            started_at=now,
            updated_at=now,
            estimated_ready_at=estimated_ready_at,
        )
        return self.again(wanted)

    def heading(self, now: str, goal: str, status: str) -> "Deployment":
        """With another goal. The execution that works on it now goes there; one at rest needs a new one."""
        run = self.run if self.is_moving else self.run + 1
        return self._next(now, goal=goal, status=status, run=run, updating=False)

    def failing(self, now: str, reason: dict[str, Any]) -> "Deployment":
        """About to fail, once what was made is removed."""
        return self._next(now, goal=FAILED, status_reason=reason)

    def run_again(self, now: str, reason: dict[str, Any] | None) -> "Deployment":
        """With a new execution in place of one that was cut off; reason: why it is to fail now, None to go on."""
        failing = {"goal": FAILED, "status_reason": reason} if reason else {}
        return self._next(now, run=self.run + 1, **failing)

    def changed(self, now: str, *, apply: bool, **changes: Any) -> "Deployment":
        """With other settings; apply: the state machine has to carry them to SageMaker."""
        if apply:
            changes |= {"updating": True, "run": self.run + 1}
        return self._next(now, **changes)

    def placed_on(self, now: str, host: "Host", instance_type: str, cost_per_hour: float) -> "Deployment":
        warm = host.ready_at is not None
        return self._next(now, host=host.name, warm=warm, instance_type=instance_type, cost_per_hour=cost_per_hour)

    def discard(self, now: str, choice: int) -> "Deployment":
        """The next instance type under the next name; what this one left is to be removed."""
        return self._next(
            now,
            choice=choice,
            attempt=self.attempt + 1,
            discarded=[*self.discarded, self.attempt],
            rolled_to=None,
        )

    def noted(self, now: str, **changes: Any) -> "Deployment":
        return self._next(now, **changes)

    def settled(self, now: str, proof: dict[str, Any] | None, reason: dict[str, Any] | None) -> "Deployment":
        """Where its goal is: active, paused or failed."""
        done = {"updating": False, "copies": None}
        if self.goal == PAUSED:
            return self._next(now, status=PAUSED, status_reason=None, ready_at=None, host=None, **done)
        if self.goal == FAILED:
            return self._next(now, status=FAILED, host=None, **done)
        if self.status == ACTIVE:
            return self._next(now, status_reason=reason, **done)
        return self._next(now, status=ACTIVE, status_reason=None, ready_at=now, proof=proof)

    def _next(self, now: str, **changes: Any) -> "Deployment":
        return replace(self, updated_at=now, version=self.version + 1, **changes)


@dataclass(frozen=True)
class Host:
    """One SageMaker endpoint with a base model on one hardware, shared by deployments of all organizations.

    tenants: deployments that hold a place; left_at: when the last change of tenants was; ready_at: since when the base
    model answers, None before; model_uri: what it serves then; image: by what. `choice`, `attempt`, `discarded` and
    `rolled_to` as a deployment's; `writes` counts writes.
    """

    base_model: str
    hardware: str
    left_at: str
    tenants: int = 0
    attempt: int = 1
    choice: int = 0
    discarded: list[int] = field(default_factory=list)
    ready_at: str | None = None
    model_uri: str | None = None
    image: str | None = None
    rolled_to: str | None = None
    writes: int = 1

    @property
    def name(self) -> str:
        return self.name_of(self.attempt)

    def name_of(self, attempt: int) -> str:
        digest = hashlib.sha256(f"{self.base_model}#{self.hardware}".encode()).hexdigest()
        return f"luthier-host-{digest[:12]}-{attempt}"

    def discard(self, choice: int) -> "Host":
        """The next endpoint under the next name; what this one left is to be removed."""
        return replace(
            self,
            choice=choice,
            attempt=self.attempt + 1,
            discarded=[*self.discarded, self.attempt],
            ready_at=None,
            model_uri=None,
            image=None,
            rolled_to=None,
        )


def base_component(endpoint: str) -> str:
    """The inference component of an endpoint that holds the weights."""
    return f"{endpoint}-base"


def id_of(organization_id: str, target: str, environment: str, name: str) -> str:
    """The id of an organization's deployment of a target under a name: the same every time."""
    digest = hashlib.sha256("\0".join((organization_id, target, environment, name)).encode()).hexdigest()
    return f"ep_{digest[:20]}"
