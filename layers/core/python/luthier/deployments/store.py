"""Deployments in DynamoDB, one item per organization and deployment; their models and hosts hear of every change."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from luthier import table
from luthier.deployments.entity import ACTIVE, DELETING, FAILED, PRODUCTION, Deployment
from luthier.deployments.hosts import HostStore
from luthier.events import outbox
from luthier.events.entity import Event
from luthier.models.store import ModelStore

NOUN = "DEPLOYMENT"


class DeploymentStore:
    def __init__(self, client: Any, table_name: str, models: ModelStore, hosts: HostStore) -> None:
        self._client = client
        self._table = table_name
        self._models = models
        self._hosts = hosts

    def get(self, organization_id: str, deployment_id: str) -> Deployment | None:
        """The deployment of an id: one read."""
        key = table.encode(table.key(organization_id, table.deployment(deployment_id)))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return _deployment(table.decode(answer["Item"])) if "Item" in answer else None

    def of_target(self, organization_id: str, target: str) -> Deployment | None:
        """The deployment that answers for a target: an active one before others, one in production before others, then
        one that never sleeps, then the newest.

        One query, and a read for each that may be it.
        """
        rows = list(
            table.query(
                self._client,
                TableName=self._table,
                IndexName=table.SECOND_FACET.name,
                KeyConditionExpression=f"{table.SECOND_FACET.partition_key} = :target",
                ExpressionAttributeValues={":target": {"S": table.facet(organization_id, NOUN, "TARGET", target)}},
            )
        )
        active = [row for row in rows if row["status"] == ACTIVE]
        found = [self.get(organization_id, row["id"]) for row in active or rows]
        return max((one for one in found if one), key=_preference, default=None)

    def of_organization(self, organization_id: str) -> list[Deployment]:
        """Every deployment of an organization, newest first. Each costs money by the hour: they are few."""
        items = table.query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="pk = :p AND begins_with(sk, :deployments)",
            ExpressionAttributeValues={
                ":p": {"S": table.organization(organization_id)},
                ":deployments": {"S": table.deployment("")},
            },
        )
        return sorted(map(_deployment, items), key=lambda one: (one.created_at, one.id), reverse=True)

    def save(
        self, old: Deployment | None, new: Deployment, event: Event | None = None, callback_url: str | None = None
    ) -> None:
        """Write a deployment in place of `old`, and what its model and its host must know of it.

        callback_url: what hears of the event besides the organization's own endpoints. Raises table.ConditionFailed
        when somebody else was faster, Conflict when the model is archived or gone.
        """
        put: dict[str, Any] = {"TableName": self._table, "Item": table.encode(_item(new))}
        if old is None:
            put["ConditionExpression"] = "attribute_not_exists(pk)"
        else:
            put |= _unchanged(old)
        writes = [{"Put": put}, *self._told(old, new)]
        if event:
            writes.append(outbox.write(event, self._table, callback_url))
        table.transact(self._client, writes)

    def delete(self, old: Deployment, event: Event, callback_url: str | None = None) -> None:
        """Remove the record. Raises table.ConditionFailed when somebody else was faster."""
        key = table.encode(table.key(old.organization_id, table.deployment(old.id)))
        delete = {"Delete": {"TableName": self._table, "Key": key, **_unchanged(old)}}
        table.transact(self._client, [delete, *self._told(old, None), outbox.write(event, self._table, callback_url)])

    def _told(self, old: Deployment | None, new: Deployment | None) -> list[table.Write]:
        one = new or old
        assert one is not None
        told: list[table.Write] = []
        before = old.facts if old and old.status != FAILED else None
        # One that has failed is removed without entering its model's record again: that may be archived or gone.
        removed = before is None and new and new.status == DELETING
        facts = new.facts if new and new.status != FAILED and not removed else None
        if not one.is_of_base and facts != before:
            told += self._models.deployment_writes(one.organization_id, one.target, one.id, facts)
        left, taken = (_place(side) for side in (old, new))
        if left != taken:
            told += [
                self._hosts.tenancy(*place, change, one.updated_at)
                for place, change in ((left, -1), (taken, 1))
                if place
            ]
        return told

    def live(self) -> Iterator[tuple[str, str]]:
        """(organization, id) of every deployment that answers or that an execution works on, over all organizations."""
        return table.live_items(self._client, self._table, NOUN)


def _place(one: Deployment | None) -> tuple[str, str] | None:
    """The host, by base model and hardware, that counts a deployment among its tenants."""
    return (one.base_model, one.hardware) if one and one.holds_a_place else None


def _unchanged(old: Deployment) -> dict[str, Any]:
    return {
        "ConditionExpression": "version = :seen",
        "ExpressionAttributeValues": {":seen": {"N": str(old.version)}},
    }


def _item(new: Deployment) -> table.Item:
    org = new.organization_id
    item = (
        table.key(org, table.deployment(new.id))
        | asdict(new)
        | {"gsi2pk": table.facet(org, NOUN, "TARGET", new.target), "gsi2sk": new.id}
    )
    if new.is_moving or new.status == ACTIVE:
        item |= {"gsi4pk": table.live(NOUN), "gsi4sk": new.id}
    return item


def _deployment(item: table.Item) -> Deployment:
    return Deployment(**{name: item[name] for name in Deployment.__dataclass_fields__ if name in item})


def _preference(one: Deployment) -> tuple[bool, bool, bool, str]:
    sleeps = (one.scaling or {}).get("min_workers") == 0
    return one.status == ACTIVE, one.environment == PRODUCTION, not sleeps, one.created_at
