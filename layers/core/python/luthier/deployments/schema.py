"""Wire shapes of deployments on the training_models surface: camelCase, `configuration` of the request snake_case."""

from datetime import timedelta
from typing import Self

from pydantic import Field

from luthier import clock
from luthier.deployments.entity import Deployment
from luthier.wire import CamelAnswer, CamelRequest, Request

# How long an endpoint takes to come up, as this surface's page tells.
_USUALLY_READY = timedelta(minutes=5)


class Scaling(CamelRequest):
    min_workers: int | None = Field(default=None, ge=0)
    max_workers: int | None = Field(default=None, ge=1)
    target_utilization: float | None = Field(default=None, gt=0, le=1)


class Configuration(Request):
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0)


class DeployModel(CamelRequest):
    """A deployment runs on the hardware of its base model, one worker; what is asked for is echoed, not promised."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    environment: str | None = Field(default=None, min_length=1, max_length=100)
    gpu_type: str | None = None
    workers: int | None = Field(default=None, ge=1)
    scaling: Scaling | None = None
    configuration: Configuration | None = None


class DeployedConfiguration(CamelAnswer):
    gpu_type: str
    workers: int
    max_tokens: int | None
    temperature: float | None


class DeploymentObject(CamelAnswer):
    id: str
    model_id: str
    name: str
    status: str
    environment: str
    url: str
    configuration: DeployedConfiguration
    estimated_ready_time: str
    created_at: str


class DeploymentStarted(CamelAnswer):
    deployment: DeploymentObject

    @classmethod
    def of(cls, deployment: Deployment, asked: DeployModel, gpu: str, base_url: str) -> Self:
        settings = asked.configuration or Configuration()
        return cls(
            deployment=DeploymentObject(
                id=deployment.id,
                model_id=deployment.target,
                name=asked.name or deployment.model_name,
                status=deployment.status,
                environment=asked.environment or "production",
                url=f"{base_url}/v2/{deployment.id}/runsync",
                configuration=DeployedConfiguration(
                    gpu_type=gpu, workers=1, max_tokens=settings.max_tokens, temperature=settings.temperature
                ),
                estimated_ready_time=deployment.ready_at
                or clock.iso(clock.parse(deployment.created_at) + _USUALLY_READY),
                created_at=deployment.created_at,
            )
        )
