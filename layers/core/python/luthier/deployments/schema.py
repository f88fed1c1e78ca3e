"""Wire shapes of deployments on the training_models surface: camelCase, `configuration` of a request snake_case."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from luthier.catalog import service as catalog
from luthier.deployments.entity import FAILED, PRODUCTION, Deployment, Host
from luthier.deployments.hardware import gpu_name, shortage
from luthier.deployments.placement import MOST_WORKERS
from luthier.deployments.scaling import IDLE_SECONDS, REQUESTS_PER_WORKER
from luthier.deployments.wishes import Wish
from luthier.wire import LONGEST_NAME, Called, CamelAnswer, CamelRequest, Request

Status = Literal["deploying", "active", "pausing", "paused", "deleting", "failed"]
_WORKERS = (
    "Copies of the model to begin with, each on GPUs of its own; more than one makes the deployment dedicated. "
    "Between scaling.minWorkers and scaling.maxWorkers where scaling is sent."
)
Workers = Annotated[int | None, Field(ge=1, le=MOST_WORKERS, description=_WORKERS)]


class Scaling(CamelRequest):
    """Makes the deployment dedicated: its workers follow its load."""

    min_workers: int | None = Field(
        default=None,
        ge=0,
        le=MOST_WORKERS,
        description=f"0: it sleeps when it was idle for {IDLE_SECONDS // 60} minutes, and the next request wakes it.",
    )
    max_workers: int | None = Field(default=None, ge=1, le=MOST_WORKERS)
    target_utilization: float | None = Field(
        default=None,
        ge=0.01,
        le=1,
        description=f"Part of a worker that is to be used; a whole one answers {REQUESTS_PER_WORKER} requests at once.",
    )


class Configuration(Request):
    """Defaults of the deployment's requests; a request's own parameters win."""

    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, ge=0.01, le=2)


class DeployModel(CamelRequest):
    """Deploying the same model again under the same name and environment answers the same deployment."""

    name: Called | None = Field(
        default=None, min_length=1, max_length=LONGEST_NAME, description="Else the model's name."
    )
    environment: Called = Field(
        default=PRODUCTION, min_length=1, max_length=100, description="As production or staging."
    )
    kind: Literal["shared", "dedicated"] | None = Field(
        default=None,
        description="shared: on an endpoint that all models over the same base share, the default for adapters and "
        "base models; dedicated: on an endpoint of its own, the default where workers or scaling ask for it and for "
        "models with weights of their own.",
    )
    gpu_type: str | None = Field(
        default=None, min_length=1, max_length=100, description="As a100, NVIDIA A100, a100-40gb, or a hardware id."
    )
    workers: Workers = None
    scaling: Scaling | None = None
    configuration: Configuration | None = None

    def wish(self) -> Wish:
        return Wish(
            name=self.name,
            environment=self.environment,
            kind=self.kind,
            gpu_type=self.gpu_type,
            workers=self.workers,
            scaling=sent(self.scaling),
            configuration=sent(self.configuration),
        )


class ChangeDeployment(CamelRequest):
    """Fields that are not sent stay as they are; null in the configuration takes a default back."""

    workers: Workers = None
    scaling: Scaling | None = Field(default=None, description="null: back to a fixed number of workers.")
    configuration: Configuration | None = None

    def changes(self) -> dict[str, Any]:
        return {
            "workers": self.workers,
            "scaling": sent(self.scaling),
            "configuration": self.configuration.model_dump(exclude_unset=True) if self.configuration else None,
            "unscaled": self.scaling is None and "scaling" in self.model_fields_set,
        }


def sent(part: Request | None) -> dict[str, Any] | None:
    return part.model_dump(exclude_none=True) if part else None


class DeployedConfiguration(CamelAnswer):
    gpu_type: str
    workers: int
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    repetition_penalty: float | None


class DeployedScaling(CamelAnswer):
    min_workers: int
    max_workers: int
    target_utilization: float


class DeploymentHost(CamelAnswer):
    """tenants: the deployments, of all organizations, that share the price."""

    name: str
    hardware: str
    tenants: int


class DeploymentError(CamelAnswer):
    """Why it failed, as the surface shows errors."""

    error: str
    message: str
    details: dict[str, Any]


class DeploymentObject(CamelAnswer):
    """cost_per_hour: of all workers of a dedicated one, of the whole host of a shared one, in USD while it is up."""

    id: str
    model_id: str
    name: str
    status: Status
    environment: str
    url: str
    configuration: DeployedConfiguration
    estimated_ready_time: str
    created_at: str
    version: str | None
    kind: Literal["shared", "dedicated"]
    cost_per_hour: float
    scaling: DeployedScaling | None
    updating: bool
    proof: dict[str, Any] | None
    error: DeploymentError | None
    ready_at: str | None
    updated_at: str

    @classmethod
    def of(cls, deployment: Deployment, base_url: str) -> Self:
        return cls.model_validate(_facts(deployment, base_url))


class DeploymentDetails(DeploymentObject):
    host: DeploymentHost | None

    @classmethod
    def with_host(cls, deployment: Deployment, host: Host | None, base_url: str) -> Self:
        shared = host and DeploymentHost(name=host.name, hardware=host.hardware, tenants=host.tenants)
        return cls.model_validate(_facts(deployment, base_url) | {"host": shared})


class DeploymentStarted(CamelAnswer):
    deployment: DeploymentObject

    @classmethod
    def of(cls, deployment: Deployment, base_url: str) -> Self:
        return cls(deployment=DeploymentObject.of(deployment, base_url))


class DeploymentPagination(CamelAnswer):
    total: int
    limit: int
    offset: int
    has_more: bool


class DeploymentPage(CamelAnswer):
    deployments: list[DeploymentObject]
    pagination: DeploymentPagination
    total: int

    @classmethod
    def of(cls, found: list[Deployment], *, limit: int, offset: int, base_url: str) -> Self:
        total = len(found)
        pagination = DeploymentPagination(total=total, limit=limit, offset=offset, has_more=offset + limit < total)
        shown = [DeploymentObject.of(one, base_url) for one in found[offset : offset + limit]]
        return cls(deployments=shown, pagination=pagination, total=total)


def _facts(deployment: Deployment, base_url: str) -> dict[str, Any]:
    settings = dict.fromkeys(("max_tokens", "temperature", "top_p", "repetition_penalty")) | deployment.configuration
    gpu = gpu_name(catalog.find_hardware(deployment.hardware))
    return vars(deployment) | {
        "model_id": deployment.target,
        "version": deployment.model_version,
        "url": f"{base_url}/v2/{deployment.id}/runsync",
        "configuration": {"gpu_type": gpu, "workers": deployment.workers, **settings},
        "estimated_ready_time": deployment.ready_at or deployment.estimated_ready_at,
        "cost_per_hour": round(deployment.cost_per_hour, 4),
        "error": _error(deployment),
    }


def _error(deployment: Deployment) -> dict[str, Any] | None:
    reason = deployment.status_reason
    if reason is None:
        return None
    failed = deployment.status == FAILED
    said = f"{reason['message']} {reason.get('hint') or ''}".strip()
    code = "DEPLOYMENT_FAILED" if failed else reason["code"].upper()
    gpu = deployment.gpu_type or gpu_name(catalog.find_hardware(deployment.hardware))
    details = shortage(gpu, reason["message"]) | {"code": reason["code"]}
    return {"error": code, "message": said, "details": details}
