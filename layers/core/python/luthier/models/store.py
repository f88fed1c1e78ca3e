"""Models and their public names in DynamoDB."""

from dataclasses import asdict
from typing import Any

from luthier import table
from luthier.errors import Conflict
from luthier.events import outbox
from luthier.events.entity import Event
from luthier.models.entity import Model

NOUN = "MODEL"


class NameTaken(Exception):
    """Another model of the organization has this public name."""


class ModelStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def create(self, model: Model, event: Event) -> bool:
        """Write a model with its names and event; False when the model is there already. Raises NameTaken."""
        new = {"TableName": self._table, "ConditionExpression": "attribute_not_exists(pk)"}
        names = [
            table.key(model.organization_id, table.model_name(name)) | {"model_id": model.id} for name in model.names
        ]
        writes = [{"Put": new | {"Item": table.encode(item)}} for item in (_item(model), *names)]
        try:
            table.transact(self._client, [*writes, outbox.write(event, self._table)])
        except table.ConditionFailed as error:
            if error.position == 0:
                return False
            raise NameTaken(model.names[error.position - 1]) from error
        return True

    def get(self, organization_id: str, model_id: str) -> Model | None:
        item = self._read(organization_id, table.model(model_id))
        return _model(item) if item else None

    def id_of_name(self, organization_id: str, name: str) -> str | None:
        """The id behind a public name: one read."""
        item = self._read(organization_id, table.model_name(name))
        return item["model_id"] if item else None

    def newest(self, organization_id: str, *, page_size: int) -> list[Model]:
        """The newest models, up to `page_size`: one query."""
        answer = self._client.query(
            TableName=self._table,
            KeyConditionExpression="pk = :p AND begins_with(sk, :models)",
            ExpressionAttributeValues={
                ":p": {"S": table.organization(organization_id)},
                ":models": {"S": table.model("")},
            },
            ScanIndexForward=False,
            Limit=page_size,
        )
        return [_model(table.decode(item)) for item in answer["Items"]]

    def deployment_writes(
        self, organization_id: str, model_id: str, deployment_id: str, facts: dict[str, Any] | None
    ) -> list[table.Write]:
        """What enters a deployment into its model's record, or takes it out (None), for the deployment's transaction.

        Refused with Conflict when the model is archived or gone.
        """
        key = table.encode(table.key(organization_id, table.model(model_id)))
        update: dict[str, Any] = {"TableName": self._table, "Key": key}
        update["ExpressionAttributeNames"] = {"#id": deployment_id}
        if facts is None:
            update |= {"UpdateExpression": "REMOVE deployments.#id", "ConditionExpression": "attribute_exists(pk)"}
        else:
            update["UpdateExpression"] = "SET deployments.#id = :facts"
            update["ConditionExpression"] = "attribute_exists(pk) AND #status <> :archived"
            update["ExpressionAttributeNames"]["#status"] = "status"
            update["ExpressionAttributeValues"] = table.encode({":facts": facts, ":archived": "archived"})
        refusal = Conflict(
            f"Model {model_id} is archived or was removed.",
            details={"current": "archived", "required": ["ready", "deployed"]},
            remedy="Restore it first.",
        )
        return [table.Guarded({"Update": update}, refusal)]

    def _read(self, organization_id: str, sort_key: str) -> table.Item | None:
        key = table.encode(table.key(organization_id, sort_key))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return table.decode(answer["Item"]) if "Item" in answer else None


def _item(model: Model) -> table.Item:
    org = model.organization_id
    return (
        table.key(org, table.model(model.id))
        | asdict(model)
        | {"gsi1pk": table.facet(org, NOUN, "TYPE", model.type), "gsi1sk": model.id}
        | {"gsi2pk": table.facet(org, NOUN, "JOB", model.job_id), "gsi2sk": model.id}
        | {"gsi3pk": table.listing(org, NOUN), "gsi3sk": model.id}
    )


def _model(item: table.Item) -> Model:
    return Model(**{name: item[name] for name in Model.__dataclass_fields__ if name in item})
