"""What is left of a deleted model: objects in S3, which the sweeper removes, and what leads to them in DynamoDB."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from luthier import items, table
from luthier.events import outbox
from luthier.events.entity import Event
from luthier.models.entity import Model
from luthier.models.store import NOUN, ModelStore


@dataclass(frozen=True)
class Remains:
    """Of one deleted model. prefixes: S3 URIs under which its objects lie; checkpoints: S3 URI of the folder in which
    its job has left checkpoints, beside the metrics that the job goes on to show."""

    id: str
    organization_id: str
    name: str
    prefixes: list[str]
    deleted_at: str
    checkpoints: str | None = None

    @classmethod
    def of(cls, model: Model, now: str) -> "Remains":
        places = [model.artifact_uri, *(kept["uri"] for kept in model.formats.values() if kept.get("uri"))]
        above, job, _ = model.artifact_uri.partition(f"/{model.job_id}/") if model.job_id else ("", "", "")
        checkpoints = f"{above}{job}checkpoints/" if job else None
        return cls(model.id, model.organization_id, model.name, list(dict.fromkeys(places)), now, checkpoints)


class RemainsStore:
    def __init__(self, client: Any, table_name: str, models: ModelStore) -> None:
        self._client = client
        self._table = table_name
        self._models = models

    def delete(self, model: Model, now: str) -> Remains:
        """Take a model out of every list and lookup, in one step, and leave its remains to the sweeper.

        A version that others of its family could be mistaken for is never given again. Raises Moved when somebody else
        has changed the model.
        """
        remains = Remains.of(model, now)
        item = table.key(model.organization_id, table.deleted_model(model.id)) | asdict(remains)
        item |= {table.LIVE.partition_key: table.live(NOUN), table.LIVE.sort_key: now}
        put = {"Put": {"TableName": self._table, "Item": table.encode(item)}}
        table.transact(self._client, [*self._models.removal(model), self._version(model), put])
        return remains

    def _version(self, model: Model) -> dict[str, Any]:
        key = table.encode(table.key(model.organization_id, table.model_version(model.family, model.version)))
        if len(self._models.versions(model.organization_id, model.family)) == 1:
            return {"Delete": {"TableName": self._table, "Key": key}}
        update = {"UpdateExpression": "SET deleted = :yes", "ExpressionAttributeValues": {":yes": {"BOOL": True}}}
        return {"Update": {"TableName": self._table, "Key": key} | update}

    def due(self, moment: str) -> Iterator[Remains | tuple[str, str]]:
        """What waits since before a moment: remains, and (organization, id) of models archived until then."""
        for row in items.due_items(self._client, self._table, NOUN, moment):
            item = table.decode(row)
            if item["sk"] == table.model(item["id"]):
                yield item["organization_id"], item["id"]
            else:
                yield Remains(**{name: item[name] for name in Remains.__dataclass_fields__ if name in item})

    def forget(self, remains: Remains, event: Event) -> bool:
        """Remove the last of the records; False when somebody else has done it."""
        org = remains.organization_id
        for user_id in self._models.users(org, remains.id):
            use = table.encode(table.key(org, table.model_use(remains.id, user_id)))
            self._client.delete_item(TableName=self._table, Key=use)
        key = table.encode(table.key(org, table.deleted_model(remains.id)))
        delete = {"TableName": self._table, "Key": key, "ConditionExpression": "attribute_exists(pk)"}
        try:
            table.transact(self._client, [{"Delete": delete}, outbox.write(event, self._table)])
        except table.ConditionFailed:
            return False
        return True
