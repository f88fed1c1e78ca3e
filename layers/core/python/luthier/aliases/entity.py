"""An alias: a name whose requests are split among deployments by weight. Pure.

Changing its routes is a move. For a while after it the new routes are watched, and one that fails too often moves the
alias back to the routes before.
"""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from luthier import clock

STABLE, WATCHING, ROLLED_BACK = "stable", "watching", "rolled_back"
LONGEST, MOST_ROUTES = 64, 5
# Of a name that a model had at OpenAI: the organization and the suffix in it are up to 64 characters each.
LONGEST_OPENAI = 200
OPENAI = "ft:"
# What ids of deployments and models begin with: a name like that could be meant for one.
RESERVED = ("ep_", "model_", "ftjob_")
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST - 1}}}")
# ft:<base>:<organization>:<suffix or nothing>:<id>, and of a checkpoint its step behind.
_OPENAI_NAME = re.compile(rf"(?=.{{1,{LONGEST_OPENAI}}}$){OPENAI}[A-Za-z0-9._-]+(:[A-Za-z0-9._-]*){{3,4}}")


@dataclass(frozen=True)
class Route:
    """A deployment and its part of the requests; the weights of an alias add up to 1.

    target: the id of its model or base model; model, version: as the deployment had them when the route was made.
    """

    deployment_id: str
    weight: float
    target: str
    model: str
    version: str | None = None


@dataclass(frozen=True)
class Rollback:
    """When a move is taken back: within the window, when of at least so many requests of a new route more fail."""

    max_error_rate: float = 0.5
    minimum_requests: int = 20
    window_seconds: int = 600

    def is_due(self, requests: int, errors: int) -> bool:
        return requests >= self.minimum_requests and errors > self.max_error_rate * requests


@dataclass(frozen=True)
class Alias:
    """previous: the routes before the last move; after a rollback those that failed.

    counts: deployment → `{requests, errors}` of each route that is or was watched; fault: why the last move was taken
    back. `move` counts moves, `writes` counts writes other than counting. Timestamps are ISO 8601 UTC.
    """

    name: str
    organization_id: str
    routes: list[Route]
    created_at: str
    updated_at: str
    moved_at: str
    previous: list[Route] = field(default_factory=list)
    rollback: Rollback = field(default_factory=Rollback)
    state: str = STABLE
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    fault: dict[str, Any] | None = None
    description: str | None = None
    move: int = 1
    writes: int = 1

    def state_at(self, now: datetime) -> str:
        """`stable`, `watching` within the window of a move, or `rolled_back`."""
        over = now >= clock.parse(self.moved_at) + timedelta(seconds=self.rollback.window_seconds)
        return STABLE if self.state == WATCHING and over else self.state

    def watches(self, deployment_id: str, now: datetime) -> bool:
        return deployment_id in self.counts and self.state_at(now) == WATCHING

    def ways(self, now: datetime) -> list[list[Route]]:
        """The routes that requests take, and those that they would take if the alias moved back."""
        return [way for way in (self.routes, self.previous if self.state_at(now) == WATCHING else []) if way]

    def holds(self, subject: str, now: datetime) -> bool:
        """Whether requests go to a deployment or model, or will if the alias moves back."""
        return any(subject in (route.deployment_id, route.target) for way in self.ways(now) for route in way)

    def described(self, now: str, rollback: Rollback, description: str | None) -> "Alias":
        return self._next(now, rollback=rollback, description=description)

    def moved(self, now: str, routes: list[Route], rollback: Rollback, description: str | None) -> "Alias":
        """To other routes. Watched are those that are new; where only weights change, all of them."""
        known = {route.deployment_id for route in self.routes}
        new = [route.deployment_id for route in routes if route.deployment_id not in known]
        watched = new or [route.deployment_id for route in routes]
        return self._next(
            now,
            routes=routes,
            previous=self.routes,
            rollback=rollback,
            description=description,
            state=WATCHING,
            counts={deployment_id: {"requests": 0, "errors": 0} for deployment_id in watched},
            fault=None,
            moved_at=now,
            move=self.move + 1,
        )

    def moved_back(self, now: str, deployment_id: str) -> "Alias":
        """To the routes before, because of this deployment."""
        counted = self.counts[deployment_id]
        fault = {"deployment_id": deployment_id, **counted, "error_rate": counted["errors"] / counted["requests"]}
        return self._next(
            now,
            routes=self.previous,
            previous=self.routes,
            state=ROLLED_BACK,
            fault=fault,
            moved_at=now,
            move=self.move + 1,
        )

    def _next(self, now: str, **changes: Any) -> "Alias":
        return replace(self, updated_at=now, writes=self.writes + 1, **changes)


def is_name(text: str) -> bool:
    """Whether an alias may be called so; nothing else has to be looked up as one."""
    if text.startswith(OPENAI):
        return bool(_OPENAI_NAME.fullmatch(text))
    return bool(_NAME.fullmatch(text)) and not text.startswith(RESERVED)
