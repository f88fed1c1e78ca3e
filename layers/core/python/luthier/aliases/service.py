"""Aliases as their owner sees them, and as inference goes through them."""

import logging
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from luthier import clock, table
from luthier.accounts.entity import Principal
from luthier.aliases.entity import LONGEST, MOST_ROUTES, OPENAI, RESERVED, Alias, Rollback, Route, is_name
from luthier.aliases.store import AliasStore
from luthier.catalog import service as catalog
from luthier.deployments.entity import ACTIVE, Deployment
from luthier.deployments.service import DeploymentService
from luthier.errors import Conflict, InvalidRequest, NotFound
from luthier.events.entity import Event, event

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """A route as it is asked for: by the deployment's id or by any name of its model, and a weight of any scale."""

    deployment_id: str | None = None
    model: str | None = None
    weight: float = 1.0


class AliasService:
    """chance: what decides where a request goes."""

    def __init__(
        self,
        store: AliasStore,
        deployments: DeploymentService,
        now: clock.Clock = clock.now,
        chance: random.Random | None = None,
    ) -> None:
        self._store = store
        self._deployments = deployments
        self._now = now
        self._chance = chance or random.SystemRandom()

    def put(
        self,
        principal: Principal,
        name: str,
        *,
        routes: Sequence[Wanted],
        rollback: Rollback | None = None,
        description: str | None = None,
    ) -> Alias:
        """Make an alias, or move one that is there. Repeating it is safe: the same routes are no move.

        Raises InvalidRequest, NotFound for an unknown deployment or model, Conflict for one that is not active and for
        a name that something else has.
        """
        self._check_name(name)
        rules = rollback or Rollback()

        def attempt() -> Alias:
            found = self._routes(principal.organization_id, routes)
            current = self._store.get(principal.organization_id, name)
            now = clock.iso(self._now())
            if current is None:
                new = Alias(
                    name, principal.organization_id, found, now, now, now, rollback=rules, description=description
                )
                self._store.create(new, _moved(new))
            elif _split(current.routes) != _split(found):
                new = current.moved(now, found, rules, description)
                self._store.save(current, new, _moved(new), hold=True)
            elif (current.rollback, current.description) != (rules, description):
                new = current.described(now, rules, description)
                self._store.save(current, new)
            else:
                new = current
            return new

        return table.until_unchanged("this alias", attempt)

    def get(self, principal: Principal, name: str) -> Alias:
        found = self.find(principal.organization_id, name)
        if found is None:
            raise NotFound(f"No alias {name!r}.", param="alias", remedy="List the aliases.")
        return found

    def of_organization(self, principal: Principal) -> list[Alias]:
        """All of them, by name."""
        return self._store.of_organization(principal.organization_id)

    def delete(self, principal: Principal, name: str) -> Alias:
        """Remove an alias; its deployments stay. Raises NotFound."""
        found = self.get(principal, name)
        with suppress(table.ConditionFailed):
            self._store.delete(found)
        return found

    def find(self, organization_id: str, name: str) -> Alias | None:
        """The alias of this name: one read, none for names that no alias can have."""
        return self._store.get(organization_id, name) if is_name(name) else None

    def references(self, organization_id: str, subject: str) -> list[str]:
        """Names of the aliases that lead to a deployment or model (by id), or would if they moved back: one query."""
        return self._store.references(organization_id, subject, self._now())

    def order(self, alias: Alias) -> list[Route]:
        """The routes in the order in which to try them for one request: drawn by weight, one after the other."""
        left, drawn = list(alias.routes), []
        while left:
            (route,) = self._chance.choices(left, [one.weight for one in left])
            left.remove(route)
            drawn.append(route)
        return drawn

    def note(self, alias: Alias, deployment_id: str, *, failed: bool) -> None:
        """Count a request of a route while it is watched, and move back when too many have failed.

        It was answered or refused already, so nothing that fails here may change that.
        """
        if not alias.watches(deployment_id, self._now()):
            return
        try:
            counted = self._store.count(alias, deployment_id, failed=failed)
            if counted and counted.rollback.is_due(**counted.counts[deployment_id]):
                self._move_back(counted, deployment_id)
        except Exception:
            logger.exception("A request to alias %s of %s was not counted.", alias.name, alias.organization_id)

    def _move_back(self, alias: Alias, deployment_id: str) -> None:
        """Stay where nothing answers at the routes before: they may have been paused since, or have failed."""
        if not any(self._is_active(alias.organization_id, route.deployment_id) for route in alias.previous):
            logger.warning("Alias %s of %s has no way back.", alias.name, alias.organization_id)
            return
        new = alias.moved_back(clock.iso(self._now()), deployment_id)
        # Of several requests that see too many failures one moves back; a move by hand that was faster stays.
        with suppress(table.ConditionFailed):
            self._store.save(alias, new, _rolled_back(new))

    def _is_active(self, organization_id: str, deployment_id: str) -> bool:
        with suppress(NotFound):
            found = self._deployments.find(organization_id, deployment_id)
            return found is not None and found.status == ACTIVE
        return False

    def _check_name(self, name: str) -> None:
        if not is_name(name):
            raise InvalidRequest(
                f"An alias cannot be called {name!r}: 1 to {LONGEST} letters, digits, dots, hyphens and underscores, "
                f"a letter or digit first, and at the beginning none of {', '.join(RESERVED)}; or what a model was "
                "called at OpenAI, as ft:gpt-4o-mini-2024-07-18:acme:support:abc123.",
                param="name",
                remedy="Choose another name.",
            )
        with suppress(InvalidRequest):
            # What follows ft: and is a base model of this platform begins a name of a model that it will yield.
            base = catalog.find_base_model(name.removeprefix(OPENAI).partition(":")[0])
            raise Conflict(
                f"{name!r} is a name of the base model {base.id}, or of what is trained from it.",
                code="name_taken",
                param="name",
                remedy="Choose another name.",
            )

    def _routes(self, organization_id: str, wanted: Sequence[Wanted]) -> list[Route]:
        if not 1 <= len(wanted) <= MOST_ROUTES:
            message = f"routes must have 1 to {MOST_ROUTES} entries, not {len(wanted)}."
            raise InvalidRequest(message, param="routes", remedy="Send as many.")
        total = sum(one.weight for one in wanted)
        routes: dict[str, Route] = {}
        for position, one in enumerate(wanted):
            found = self._deployment(organization_id, one, f"routes[{position}]")
            if found.id in routes:
                message = f"routes[{position}] leads to {found.id} like an earlier one."
                raise InvalidRequest(message, param=f"routes[{position}]", remedy="Give each deployment one weight.")
            version = found.model_version
            routes[found.id] = Route(found.id, one.weight / total, found.target, found.model_name, version)
        return list(routes.values())

    def _deployment(self, organization_id: str, wanted: Wanted, place: str) -> Deployment:
        """The active deployment that a route names."""
        field = f"{place}.{'deploymentId' if wanted.deployment_id else 'model'}"
        if (wanted.deployment_id is None) == (wanted.model is None):
            message = f"{place} must have either deploymentId or model."
            raise InvalidRequest(message, param=place, remedy="Send one of them.")
        if wanted.deployment_id and not wanted.deployment_id.startswith("ep_"):
            message = f"{field} must be a deployment's id, which begins with ep_, not {wanted.deployment_id!r}."
            raise InvalidRequest(message, param=field, remedy="List the deployments, or name the model as `model`.")
        try:
            found = self._deployments.find(organization_id, wanted.deployment_id or wanted.model or "")
        except NotFound as error:
            error.param = field
            raise
        if found is None or found.status != ACTIVE:
            state = found.status if found else "not deployed"
            raise Conflict(
                f"{field} is {state}; an alias leads to active deployments only.",
                param=field,
                details={"current": state, "required": [ACTIVE]},
                remedy="Deploy or resume it, and wait until it is active.",
            )
        return found


def _split(routes: Sequence[Route]) -> dict[str, float]:
    return {route.deployment_id: round(route.weight, 9) for route in routes}


def _moved(alias: Alias) -> Event:
    data = {"alias": alias.name, "routes": _told(alias.routes), "previous": _told(alias.previous)}
    return event("alias.moved", alias.organization_id, alias.moved_at, data)


def _rolled_back(alias: Alias) -> Event:
    fault = alias.fault or {}
    data = {
        "alias": alias.name,
        "routes": _told(alias.routes),
        "previous": _told(alias.previous),
        "deploymentId": fault["deployment_id"],
        "requests": fault["requests"],
        "errors": fault["errors"],
        "errorRate": fault["error_rate"],
        "maxErrorRate": alias.rollback.max_error_rate,
    }
    return event("alias.rolled_back", alias.organization_id, alias.moved_at, data)


def _told(routes: Sequence[Route]) -> list[dict[str, Any]]:
    return [
        {
            "deploymentId": route.deployment_id,
            "modelId": route.target,
            "model": route.model,
            "version": route.version,
            "weight": route.weight,
        }
        for route in routes
    ]
