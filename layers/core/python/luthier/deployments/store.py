"""Deployments in DynamoDB, one item per organization and target."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from luthier import table
from luthier.deployments.entity import DEPLOYING, Deployment
from luthier.events import outbox
from luthier.events.entity import Event

NOUN = "DEPLOYMENT"


class DeploymentStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def get(self, organization_id: str, target: str) -> Deployment | None:
        """The deployment of a target: one read."""
        key = table.encode(table.key(organization_id, table.deployment(target)))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        if "Item" not in answer:
            return None
        item = table.decode(answer["Item"])
        return Deployment(**{name: item[name] for name in Deployment.__dataclass_fields__ if name in item})

    def save(
        self, old: Deployment | None, new: Deployment, event: Event | None = None, callback_url: str | None = None
    ) -> None:
        """Write a deployment in place of `old`. Raises table.ConditionFailed when somebody else was faster.

        callback_url: what hears of the event besides the organization's own endpoints.
        """
        item = table.key(new.organization_id, table.deployment(new.target)) | asdict(new)
        if new.status == DEPLOYING:
            item |= {"gsi4pk": table.live(NOUN), "gsi4sk": new.id}
        put: dict[str, Any] = {"TableName": self._table, "Item": table.encode(item)}
        if old is None:
            put["ConditionExpression"] = "attribute_not_exists(pk)"
        else:
            put["ConditionExpression"] = "version = :seen"
            put["ExpressionAttributeValues"] = {":seen": {"N": str(old.version)}}
        told = [outbox.write(event, self._table, callback_url)] if event else []
        table.transact(self._client, [{"Put": put}, *told])

    def deploying(self) -> Iterator[tuple[str, str]]:
        """(organization, target) of every deployment that is coming up, over all organizations."""
        return table.live_items(self._client, self._table, NOUN)
