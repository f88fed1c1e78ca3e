"""Hosts in DynamoDB: who makes one, who counts its tenants, and when it goes."""

from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from datetime import timedelta
from typing import Any

from luthier import clock, table
from luthier.deployments.endpoints import Endpoints
from luthier.deployments.entity import Deployment, Host, base_component
from luthier.deployments.scaling import Scaling

NOUN = "HOST"
_LIVE_KEYS = (table.LIVE.partition_key, table.LIVE.sort_key)


class HostStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def get(self, base_model: str, hardware: str) -> Host | None:
        key = table.encode(table.host(base_model, hardware))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        if "Item" not in answer:
            return None
        item = table.decode(answer["Item"])
        return Host(**{field.name: item[field.name] for field in fields(Host)})

    def of(self, deployment: Deployment) -> Host:
        """The host that a deployment was counted on when it was written."""
        host = self.get(deployment.base_model, deployment.hardware)
        if host is None:
            raise RuntimeError(f"{deployment.id} holds a place on a host without a record.")
        return host

    def save(self, old: Host, new: Host, *, asleep: bool = False) -> bool:
        """Write a host in place of `old`; False when somebody else was faster.

        asleep: nothing of it is left in SageMaker, and the sweeper need not look until a tenant comes.
        """
        item = table.host(new.base_model, new.hardware) | asdict(new) | {"writes": old.writes + 1}
        if not asleep:
            item |= dict(zip(_LIVE_KEYS, (table.live(NOUN), new.base_model), strict=True))
        try:
            self._client.put_item(
                TableName=self._table,
                Item=table.encode(item),
                ConditionExpression="writes = :seen",
                ExpressionAttributeValues={":seen": {"N": str(old.writes)}},
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def tenancy(self, base_model: str, hardware: str, change: int, now: str) -> table.Write:
        """The write that counts a tenant in (1) or out (-1), for the deployment's own transaction; makes the host."""
        new = Host(base_model, hardware, left_at=now)
        kept = {n: v for n, v in asdict(new).items() if n not in ("tenants", "writes", "left_at")}
        names = {f"#{name}": name for name in (*kept, "left_at", "tenants", "writes", *_LIVE_KEYS)}
        known = ", ".join(f"#{name} = if_not_exists(#{name}, :{name})" for name in kept)
        live = ", ".join(f"#{name} = :{name}" for name in ("left_at", *_LIVE_KEYS))
        values = {f":{name}": value for name, value in kept.items()} | {":left_at": now, ":change": change, ":one": 1}
        values |= {f":{table.LIVE.partition_key}": table.live(NOUN), f":{table.LIVE.sort_key}": new.base_model}
        return {
            "Update": {
                "TableName": self._table,
                "Key": table.encode(table.host(base_model, hardware)),
                "UpdateExpression": f"SET {known}, {live} ADD #tenants :change, #writes :one",
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": table.encode(values),
            }
        }

    def awake(self) -> Iterator[Host]:
        """Every host that has something in SageMaker, or may have."""
        for place, _ in table.live_items(self._client, self._table, NOUN):
            base_model, _, hardware = place.rpartition("#")
            if host := self.get(base_model, hardware):
                yield host


class Hosts:
    """What becomes of hosts between deployments."""

    def __init__(
        self,
        store: HostStore,
        endpoints: Endpoints,
        scaling: Scaling,
        *,
        idle_minutes: int,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._scaling = scaling
        self._idle = timedelta(minutes=idle_minutes)
        self._now = now

    def sweep(self) -> list[str]:
        """Remove what hosts have left, and hosts that have been without tenants for a while; names of the latter."""
        return [host.name for host in self._store.awake() if self._sweep(host)]

    def _sweep(self, host: Host) -> bool:
        if host.discarded:
            self.clean(host)
        elif host.tenants <= 0 and self._now() - clock.parse(host.left_at) >= self._idle:
            # A tenant that comes between the read and this write is seen by it; one that comes later starts anew.
            return self._store.save(host, host.discard(0))
        return False

    def clean(self, host: Host) -> bool:
        """Whether nothing is left of a host's earlier attempts; one step nearer per call."""
        for attempt in host.discarded:
            name = host.name_of(attempt)
            self._scaling.remove(base_component(name), [base_component(name)])
            if not self._endpoints.remove(name):
                return False
        asleep = host.tenants <= 0 and self._endpoints.endpoint(host.name) is None
        return self._store.save(host, replace(host, discarded=[]), asleep=asleep)
