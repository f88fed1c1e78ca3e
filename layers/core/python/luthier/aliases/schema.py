"""Wire shapes of aliases on the training_models surface: camelCase."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field

from luthier.aliases.entity import MOST_ROUTES, Alias, Rollback, Route
from luthier.aliases.service import Wanted
from luthier.wire import LONGEST_NAME, CamelAnswer, CamelRequest

State = Literal["stable", "watching", "rolled_back"]


class RouteWish(CamelRequest):
    """Either `deploymentId` or `model`."""

    deployment_id: str | None = Field(default=None, min_length=1, max_length=LONGEST_NAME)
    model: str | None = Field(
        default=None, min_length=1, max_length=LONGEST_NAME, description="Any name of a deployed model."
    )
    weight: float = Field(
        default=1.0,
        ge=0.000_001,
        le=1_000_000,
        allow_inf_nan=False,
        description="Of any scale: weights are made to add up to 1.",
    )


class RollbackWish(CamelRequest):
    """When a move is taken back."""

    max_error_rate: float = Field(default=0.5, ge=0, le=1, description="1: never.")
    minimum_requests: int = Field(default=20, ge=1, le=1_000_000, description="Of a new route, before it is judged.")
    window_seconds: int = Field(default=600, ge=1, le=86_400, description="How long a move is watched.")


class PutAlias(CamelRequest):
    """Requests under the alias's name are split among the routes."""

    routes: list[RouteWish] = Field(min_length=1, max_length=MOST_ROUTES)
    rollback: RollbackWish | None = None
    description: str | None = Field(default=None, max_length=500)

    def wishes(self) -> dict[str, Any]:
        return {
            "routes": [Wanted(**route.model_dump()) for route in self.routes],
            "rollback": Rollback(**self.rollback.model_dump()) if self.rollback else None,
            "description": self.description,
        }


class RouteObject(CamelAnswer):
    deployment_id: str
    model_id: str
    model: str
    version: str | None
    weight: float

    @classmethod
    def of(cls, route: Route) -> Self:
        return cls.model_validate(vars(route) | {"model_id": route.target})


class RollbackObject(CamelAnswer):
    max_error_rate: float
    minimum_requests: int
    window_seconds: int


class RouteCounts(CamelAnswer):
    """Requests that a watched route has answered or failed to answer; what callers did wrong is not among them."""

    deployment_id: str
    requests: int
    errors: int
    error_rate: float | None

    @classmethod
    def of(cls, deployment_id: str, requests: int, errors: int) -> Self:
        rate = errors / requests if requests else None
        return cls(deployment_id=deployment_id, requests=requests, errors=errors, error_rate=rate)


class AliasObject(CamelAnswer):
    """previous: the routes before the last move, after a rollback those that failed; fault: why it was taken back."""

    name: str
    description: str | None
    state: State
    routes: list[RouteObject]
    previous: list[RouteObject]
    rollback: RollbackObject
    counts: list[RouteCounts]
    fault: RouteCounts | None
    moved_at: str
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, alias: Alias, now: datetime) -> Self:
        shown = {
            "state": alias.state_at(now),
            "routes": [RouteObject.of(route) for route in alias.routes],
            "previous": [RouteObject.of(route) for route in alias.previous],
            "counts": [RouteCounts.of(deployment_id, **counts) for deployment_id, counts in alias.counts.items()],
        }
        return cls.model_validate(vars(alias) | shown)


class AliasList(CamelAnswer):
    aliases: list[AliasObject]
    total: int

    @classmethod
    def of(cls, aliases: list[Alias], now: datetime) -> Self:
        return cls(aliases=[AliasObject.of(alias, now) for alias in aliases], total=len(aliases))


class AliasDeleted(CamelAnswer):
    name: str
    deleted: Literal[True] = True
