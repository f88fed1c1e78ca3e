"""Aliases in DynamoDB. An alias takes its name among the organization's model names, so that both stay unique."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from luthier import table
from luthier.aliases.entity import Alias, Rollback, Route
from luthier.deployments.entity import ACTIVE
from luthier.errors import Conflict
from luthier.events import outbox
from luthier.events.entity import Event

NOUN = "ALIAS"
MOST = 100


class AliasStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def get(self, organization_id: str, name: str) -> Alias | None:
        """One strongly consistent read: the request after a move goes where it leads."""
        answer = self._client.get_item(
            TableName=self._table, Key=self._key(organization_id, table.alias(name)), ConsistentRead=True
        )
        return _alias(table.decode(answer["Item"])) if "Item" in answer else None

    def of_organization(self, organization_id: str) -> list[Alias]:
        """All aliases, at most MOST, by name: one query."""
        items = table.query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="pk = :p AND begins_with(sk, :aliases)",
            ExpressionAttributeValues=table.encode(
                {":p": table.organization(organization_id), ":aliases": table.alias()}
            ),
            ConsistentRead=True,
        )
        return [_alias(item) for item in items]

    def references(self, organization_id: str, subject: str, now: datetime) -> list[str]:
        """Names of the aliases that lead to a deployment or model, or would if they moved back: one query."""
        return [alias.name for alias in self.of_organization(organization_id) if alias.holds(subject, now)]

    def holders(self, organization_id: str, deployment_id: str, now: datetime) -> list[Alias]:
        """The aliases that lead to a deployment, or would if they moved back: one query."""
        return [alias for alias in self.of_organization(organization_id) if alias.holds(deployment_id, now)]

    def create(self, alias: Alias, event: Event) -> None:
        """Raises table.ConditionFailed when the alias is there or a route is not active any more, Conflict when the
        name or the last place is taken."""
        new = {"TableName": self._table, "ConditionExpression": "attribute_not_exists(pk)"}
        # No model_id: whoever looks for a model of this name finds none.
        name = table.key(alias.organization_id, table.model_name(alias.name)) | {"model_id": None, "alias": alias.name}
        counted = self._count(alias.organization_id, 1)
        counted["ConditionExpression"] = "attribute_not_exists(#total) OR #total < :most"
        counted["ExpressionAttributeValues"][":most"] = {"N": str(MOST)}
        taken = Conflict(
            f"A model of yours is called {alias.name!r}.",
            code="name_taken",
            param="name",
            remedy="Choose another name.",
        )
        many = f"There are {MOST} aliases, as many as an organization may have."
        too_many = Conflict(many, code="too_many_aliases", remedy="Delete one.")
        table.transact(
            self._client,
            [
                {"Put": new | {"Item": table.encode(_item(alias))}},
                table.Guarded({"Put": new | {"Item": table.encode(name)}}, taken),
                table.Guarded({"Update": counted}, too_many),
                *self._held(alias),
                outbox.write(event, self._table),
            ],
        )

    def save(self, old: Alias, new: Alias, event: Event | None = None, *, hold: bool = False) -> None:
        """Replace `old` by `new`. Raises table.ConditionFailed when somebody else was faster.

        hold: its routes have to be active still, which fails too where one is not.

        Counting does not touch `writes`, so what is counted between read and write may be lost with it: after a move
        nobody asks for it, and otherwise it is a few requests of many.
        """
        put = {
            "TableName": self._table,
            "Item": table.encode(_item(new)),
            "ConditionExpression": "writes = :seen",
            "ExpressionAttributeValues": {":seen": {"N": str(old.writes)}},
        }
        told = [outbox.write(event, self._table)] if event else []
        table.transact(self._client, [{"Put": put}, *(self._held(new) if hold else []), *told])

    def count(self, alias: Alias, deployment_id: str, *, failed: bool) -> Alias | None:
        """Count a request of a watched route: one write. The alias after it; None when it has moved meanwhile."""
        counter = "counts.#deployment"
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=self._key(alias.organization_id, table.alias(alias.name)),
                UpdateExpression=f"SET {counter}.requests = {counter}.requests + :one, "
                f"{counter}.errors = {counter}.errors + :failed",
                ConditionExpression="#move = :move",
                ExpressionAttributeNames={"#deployment": deployment_id, "#move": "move"},
                ExpressionAttributeValues=table.encode({":one": 1, ":failed": int(failed), ":move": alias.move}),
                ReturnValues="ALL_NEW",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return None
        return _alias(table.decode(answer["Attributes"]))

    def delete(self, alias: Alias) -> None:
        """Remove an alias and give its name back. Raises table.ConditionFailed when it is gone already."""
        organization_id = alias.organization_id
        place = {"TableName": self._table, "Key": self._key(organization_id, table.alias(alias.name))}
        name = {"TableName": self._table, "Key": self._key(organization_id, table.model_name(alias.name))}
        table.transact(
            self._client,
            [
                {"Delete": place | {"ConditionExpression": "attribute_exists(pk)"}},
                {"Delete": name},
                {"Update": self._count(organization_id, -1)},
            ],
        )

    def _held(self, alias: Alias) -> list[table.Write]:
        """Writes to the deployments of its routes: whoever is about to delete one reads again, and finds the alias."""
        return [
            {
                "Update": {
                    "TableName": self._table,
                    "Key": self._key(alias.organization_id, table.deployment(route.deployment_id)),
                    "UpdateExpression": "ADD version :one",
                    "ConditionExpression": "#status = :active",
                    "ExpressionAttributeNames": {"#status": "status"},
                    "ExpressionAttributeValues": table.encode({":one": 1, ":active": ACTIVE}),
                }
            }
            for route in alias.routes
        ]

    def _count(self, organization_id: str, change: int) -> dict[str, Any]:
        return {
            "TableName": self._table,
            "Key": self._key(organization_id, table.counters(NOUN)),
            "UpdateExpression": "ADD #total :change",
            "ExpressionAttributeNames": {"#total": "total"},
            "ExpressionAttributeValues": {":change": {"N": str(change)}},
        }

    def _key(self, organization_id: str, sort_key: str) -> dict[str, Any]:
        return table.encode(table.key(organization_id, sort_key))


def _item(alias: Alias) -> table.Item:
    return table.key(alias.organization_id, table.alias(alias.name)) | asdict(alias)


def _alias(item: table.Item) -> Alias:
    known = {name: item[name] for name in Alias.__dataclass_fields__ if name in item}
    for name in ("routes", "previous"):
        known[name] = [Route(**route) for route in item[name]]
    return Alias(**known | {"rollback": Rollback(**item["rollback"])})
