"""Bringing SageMaker nearer to what a deployment is to be, one idempotent step per call.

What is there is asked, never remembered: a step that was cut off is simply taken again.
"""

from dataclasses import replace
from typing import Any

from luthier import clock, table
from luthier.catalog import service as catalog
from luthier.deployments.endpoints import UP, WAITING, Endpoints, NoCapacity
from luthier.deployments.entity import ACTIVE, Deployment, Host, base_component
from luthier.deployments.hardware import gpu_name, no_capacity
from luthier.deployments.hosts import Hosts, HostStore
from luthier.deployments.requests import Site
from luthier.deployments.scaling import Bounds, Scaling
from luthier.deployments.store import DeploymentStore
from luthier.errors import Unprocessable

PLACED, GONE = "placed", "gone"
MOST_WORKERS = 20
# A host's copies follow the load of all its tenants.
_HOST = Bounds(least=1, most=4, target_utilization=0.7)


class Placement:
    def __init__(
        self,
        store: DeploymentStore,
        host_store: HostStore,
        hosts: Hosts,
        endpoints: Endpoints,
        scaling: Scaling,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._host_store = host_store
        self._hosts = hosts
        self._endpoints = endpoints
        self._scaling = scaling
        self._now = now

    def step(self, deployment: Deployment, model_uri: str) -> str:
        """PLACED, GONE (where the goal is not to be active) or WAITING. model_uri: prefix of the base model.

        Raises Unprocessable when it will never come up.
        """
        try:
            if deployment.goal != ACTIVE:
                return GONE if self._clear(deployment) else WAITING
            if deployment.discarded:
                self._clean(deployment)
                return WAITING
            return self._share(deployment, model_uri) if deployment.is_shared else self._dedicate(deployment, model_uri)
        except table.ConditionFailed:
            # Somebody has changed its goal meanwhile: the next step sees it.
            return WAITING

    def standing(self) -> frozenset[str]:
        """Names of the inference components that stand."""
        return self._endpoints.standing()

    def is_lost(self, active: Deployment, standing: frozenset[str]) -> bool:
        """Whether something that a deployment answers with does not stand any more.

        standing: as listed before; what it lacks is asked for once more.
        """
        return not standing.issuperset(active.components) and not self._endpoints.stand(active.components)

    def _clear(self, deployment: Deployment) -> bool:
        if not all(self._remove(deployment.name_of(n)) for n in (*deployment.discarded, deployment.attempt)):
            return False
        host = self._host_store.get(deployment.base_model, deployment.hardware) if deployment.is_shared else None
        return not host or not host.discarded or self._hosts.clean(host)

    def _clean(self, deployment: Deployment) -> None:
        if all(self._remove(deployment.name_of(attempt)) for attempt in deployment.discarded):
            self._store.save(deployment, deployment.noted(self._iso(), discarded=[]))

    def _remove(self, name: str) -> bool:
        """Whether nothing is left under a deployment's own name: its adapter, its scaling, its endpoint."""
        self._scaling.remove(base_component(name), [base_component(name), name])
        return self._endpoints.remove_component(name) and self._endpoints.remove(name)

    def _share(self, deployment: Deployment, model_uri: str) -> str:
        host = self._host_store.of(deployment)
        if host.discarded:
            self._hosts.clean(host)
            return WAITING
        site = self._host_site(host, model_uri)
        if deployment.host != host.name:
            price = _price(deployment.hardware, site.instance_type)
            self._store.save(deployment, deployment.placed_on(self._iso(), host, site.instance_type, price))
            return WAITING
        if self._bring_up_host(host, site) == WAITING:
            return WAITING
        return self._add_adapter(deployment)

    def _bring_up_host(self, host: Host, site: Site) -> str:
        try:
            state = self._endpoints.bring_up(site)
        except NoCapacity as shortage:
            choice = host.choice + 1
            exhausted = choice >= len(_types(host.hardware))
            self._host_store.save(host, host.discard(0 if exhausted else choice))
            if exhausted:
                raise _exhausted(host.hardware, str(shortage)) from shortage
            return WAITING
        except Unprocessable:
            self._host_store.save(host, host.discard(0))
            if host.ready_at is None:
                # Whoever comes next begins anew.
                raise
            return WAITING
        if state == WAITING:
            return WAITING
        if host.ready_at is None:
            self._scaling.apply(site.component, [site.component], _HOST)
            up = replace(host, ready_at=self._iso(), model_uri=site.model_uri, image=site.image)
            return UP if self._host_store.save(host, up) else WAITING
        return WAITING if self.renew(host) else UP

    def renew(self, host: Host) -> bool:
        """Whether a rolling update of a host to this platform's serving image was begun."""
        if host.ready_at is None or host.model_uri is None or host.image == self._endpoints.image:
            return False
        site = self._host_site(host, host.model_uri)
        if not self._endpoints.rests(site.component):
            return False
        begun = self._roll(site, host.rolled_to)
        # Once begun it is not begun again, whether it succeeds or AWS takes it back, until the image changes.
        self._host_store.save(host, replace(host, rolled_to=site.model, image=site.image))
        return begun

    def renew_hosts(self) -> list[str]:
        """Bring every host to this platform's serving image; the names of those where that was begun."""
        return [host.name for host in self._host_store.awake() if self.renew(host)]

    def _dedicate(self, deployment: Deployment, model_uri: str) -> str:
        kind = _types(deployment.hardware)[deployment.choice]
        if deployment.instance_type != kind:
            cost = _price(deployment.hardware, kind) * deployment.workers
            self._store.save(deployment, deployment.noted(self._iso(), instance_type=kind, cost_per_hour=cost))
            return WAITING
        site = self._own_site(deployment, model_uri)
        try:
            if self._endpoints.bring_up(site) == WAITING:
                return WAITING
        except NoCapacity as shortage:
            choice = deployment.choice + 1
            if choice >= len(_types(deployment.hardware)):
                raise _exhausted(deployment.hardware, str(shortage), deployment.gpu_type) from shortage
            self._store.save(deployment, deployment.discard(self._iso(), choice))
            return WAITING
        if self._roll(site, deployment.rolled_to):
            self._store.save(deployment, deployment.noted(self._iso(), rolled_to=site.model))
            return WAITING
        if self._add_adapter(deployment) == WAITING:
            return WAITING
        self._scale(deployment, site.component)
        return PLACED

    def _add_adapter(self, deployment: Deployment) -> str:
        if deployment.adapter_uri is None:
            return PLACED
        name, endpoint = deployment.own_name, deployment.endpoint_name
        try:
            state = self._endpoints.add_adapter(name, endpoint, deployment.adapter_uri, deployment.organization_id)
        except NoCapacity as shortage:
            raise _exhausted(deployment.hardware, str(shortage), deployment.gpu_type) from shortage
        return PLACED if state == UP else WAITING

    def _roll(self, site: Site, rolled_to: str | None) -> bool:
        """Whether a rolling update was begun. AWS takes one back that fails; it is not tried a second time."""
        if site.model == rolled_to or self._endpoints.served_model(site.component) == site.model:
            return False
        self._endpoints.roll(site, self._scaling.watch(site.component))
        return True

    def _scale(self, deployment: Deployment, component: str) -> None:
        asked = list(dict.fromkeys((component, deployment.component_name)))
        if deployment.scaling is None:
            self._scaling.remove(component, asked)
            self._endpoints.set_copies(component, deployment.workers)
            return
        wish = deployment.scaling
        bounds = Bounds(wish["min_workers"], wish["max_workers"], wish["target_utilization"])
        self._scaling.apply(component, asked, bounds)
        if deployment.copies is not None:
            self._endpoints.set_copies(component, deployment.copies)

    def _host_site(self, host: Host, model_uri: str) -> Site:
        return Site(
            endpoint=host.name,
            model_uri=model_uri,
            image=self._endpoints.image,
            instance_type=_types(host.hardware)[host.choice],
            gpus=catalog.find_hardware(host.hardware).gpu_count,
            with_adapters=True,
            copies=1,
            least=1,
            most=_HOST.most,
            tag="shared",
        )

    def _own_site(self, deployment: Deployment, model_uri: str) -> Site:
        return Site(
            endpoint=deployment.own_name,
            model_uri=deployment.own_model_uri or model_uri,
            image=self._endpoints.image,
            instance_type=deployment.instance_type or "",
            gpus=catalog.find_hardware(deployment.hardware).gpu_count,
            with_adapters=deployment.adapter_uri is not None,
            # What sleeps when idle begins awake, or nothing would prove it.
            copies=max(1, deployment.workers),
            least=0,
            most=MOST_WORKERS,
            tag=deployment.organization_id,
        )

    def _iso(self) -> str:
        return clock.iso(self._now())


def _types(hardware: str) -> tuple[str, ...]:
    return catalog.find_hardware(hardware).instance_types


def _price(hardware: str, instance_type: str) -> float:
    return catalog.find_hardware(hardware).price_of(instance_type)


def _exhausted(hardware: str, said: str, gpu_type: str | None = None) -> Any:
    tried = ", ".join(_types(hardware))
    asked = gpu_type or gpu_name(catalog.find_hardware(hardware))
    return no_capacity(asked, f"AWS has none of {tried} free, or the quota is used up: {said}")
