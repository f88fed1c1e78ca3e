"""Models, their public names, versions and uses in DynamoDB. A model, its counters and its event change together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from luthier import items, table
from luthier.errors import Conflict, NotFound
from luthier.events import outbox
from luthier.events.entity import Event
from luthier.models.entity import ARCHIVED, STATUSES, TYPES, Model

NOUN = "MODEL"


class NameTaken(Exception):
    """Another model or an alias of the organization has this public name."""


class Moved(table.ConditionFailed):
    """Somebody else has changed the model since it was read."""

    def __init__(self) -> None:
        super().__init__(0)


@dataclass(frozen=True)
class Counts:
    """How many models an organization has; by_state is by (status, type)."""

    total: int
    by_state: dict[tuple[str, str], int]
    by_base_model: dict[str, int]

    def states(self, statuses: Iterable[str] = STATUSES, types: Iterable[str] = TYPES) -> dict[tuple[str, str], int]:
        """Those of these statuses and types that any model is in."""
        wanted = [(status, kind) for status in statuses for kind in types]
        return {state: self.by_state[state] for state in wanted if self.by_state.get(state)}


class ModelStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def create(self, model: Model, event: Event) -> bool:
        """Write a model with its names, version and event; False when it is there already. Raises NameTaken."""
        new = {"TableName": self._table, "ConditionExpression": "attribute_not_exists(pk)"}
        put = {"Put": new | {"Item": table.encode(_item(model))}}
        names = [self._name(model, name) for name in model.names]
        count = items.count(self._table, model.organization_id, NOUN, _counted(model))
        told = outbox.write(event, self._table)
        try:
            table.transact(self._client, [put, *names, self.version_write(model), count, told])
        except table.ConditionFailed as error:
            if error.position == 0:
                return False
            raise
        return True

    def get(self, organization_id: str, model_id: str) -> Model | None:
        item = self._read(organization_id, table.model(model_id))
        return _model(item) if item else None

    def get_many(self, organization_id: str, model_ids: Sequence[str]) -> dict[str, Model]:
        """Those of up to 100 models that are there, by id."""
        keys = [table.key(organization_id, table.model(model_id)) for model_id in model_ids]
        return {item["id"]: _model(item) for item in items.get_many(self._client, self._table, keys)}

    def id_of_name(self, organization_id: str, name: str) -> str | None:
        """The id behind a public name: one read."""
        item = self._read(organization_id, table.model_name(name))
        return item["model_id"] if item else None

    def has_name(self, organization_id: str, name: str) -> bool:
        """Whether a model or an alias has this public name: one read."""
        return self._read(organization_id, table.model_name(name)) is not None

    def newest(self, organization_id: str, *, page_size: int) -> list[Model]:
        """The models of the newest jobs, up to `page_size`: one query."""
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

    def counts(self, organization_id: str) -> Counts:
        """Totals of an organization: one read."""
        numbers = self._read(organization_id, table.counters(NOUN)) or {}
        split = [(name.split("#", 2), number) for name, number in numbers.items()]
        return Counts(
            total=numbers.get("total", 0),
            by_state={(name[1], name[2]): number for name, number in split if name[0] == "state"},
            by_base_model={name.partition("#")[2]: n for name, n in numbers.items() if name.startswith("base#")},
        )

    def rows(
        self,
        organization_id: str,
        *,
        state: tuple[str, str] | None = None,
        base_model: str | None = None,
        ascending: bool = False,
        page_size: int | None = None,
    ) -> Iterator[table.Item]:
        """List rows by creation time: of one (status, type), of a base model, or of all; read page by page."""
        if state:
            index, partition = table.FACET, table.facet(organization_id, NOUN, "STATE", "#".join(state))
        elif base_model:
            index, partition = table.SECOND_FACET, table.facet(organization_id, NOUN, "BASE", base_model)
        else:
            index, partition = table.LIST, table.listing(organization_id, NOUN)
        return table.query(
            self._client,
            page_size=page_size,
            TableName=self._table,
            IndexName=index.name,
            KeyConditionExpression=f"{index.partition_key} = :p",
            ExpressionAttributeValues={":p": {"S": partition}},
            ScanIndexForward=ascending,
        )

    def save(self, old: Model, new: Model, event: Event | None = None, joined: Sequence[table.Write] = ()) -> Model:
        """Write a model in place of `old`, which nobody may have changed meanwhile, with names that are new.

        joined: other nouns' writes. Raises Moved (a table.ConditionFailed) when somebody else was faster, NameTaken, or
        what the joined writes refuse with.
        """
        written = replace(new, writes=old.writes + 1)
        told = [outbox.write(event, self._table)] if event else []
        table.transact(self._client, [*self._changes(old, written), *told, *joined])
        return written

    def deployment_writes(
        self, organization_id: str, model_id: str, deployment_id: str, facts: dict[str, Any] | None
    ) -> list[table.Write]:
        """What enters a deployment into its model's record, or takes it out (None), for the deployment's transaction.

        Raises Conflict when the model is archived, NotFound when it is gone. The transaction raises Moved where
        somebody else changes the model meanwhile: ask for the writes again.
        """
        old = self.get(organization_id, model_id)
        if old is None:
            if facts is None:
                return []
            raise NotFound(f"Model {model_id} was removed.", code="model_not_found", param="model")
        if facts and old.status == ARCHIVED:
            raise archived(model_id)
        new = old.linked(deployment_id, facts)
        return self._changes(old, replace(new, writes=old.writes + 1)) if new != old else []

    def use_writes(self, organization_id: str, model_id: str, user_id: str) -> list[table.Write]:
        """What notes that something needs a model, for that thing's transaction; Conflict when it is archived or gone.

        Whoever would delete the model at the same time sees it changed, and looks for its uses again.
        """
        use = table.key(organization_id, table.model_use(model_id, user_id)) | {"user_id": user_id}
        noticed = {
            "TableName": self._table,
            "Key": table.encode(table.key(organization_id, table.model(model_id))),
            "UpdateExpression": "ADD writes :one",
            "ConditionExpression": "attribute_exists(pk) AND #status <> :archived",
            "ExpressionAttributeNames": {"#status": "status"},
            "ExpressionAttributeValues": {":one": {"N": "1"}, ":archived": {"S": ARCHIVED}},
        }
        put = {"Put": {"TableName": self._table, "Item": table.encode(use)}}
        return [table.Guarded({"Update": noticed}, archived(model_id)), put]

    def users(self, organization_id: str, model_id: str) -> list[str]:
        """Ids of what has noted that it needs a model, ended or not."""
        return [item["user_id"] for item in self._of(organization_id, table.model_use(model_id))]

    def versions(self, organization_id: str, family: str) -> list[table.Item]:
        """`{version, model_id, deleted}` of every version that a family has, or had."""
        return list(self._of(organization_id, table.model_version(family)))

    def version(self, organization_id: str, family: str, version: str) -> table.Item | None:
        return self._read(organization_id, table.model_version(family, version))

    def version_write(self, model: Model, refusal: Exception | None = None) -> table.Write:
        """The write that takes a model's version, once and for all."""
        key = table.key(model.organization_id, table.model_version(model.family, model.version))
        item = key | {"version": model.version, "model_id": model.id, "deleted": False}
        new = {"TableName": self._table, "ConditionExpression": "attribute_not_exists(pk)"}
        put: dict[str, Any] = {"Put": new | {"Item": table.encode(item)}}
        return table.Guarded(put, refusal) if refusal else put

    def leave_write(self, model: Model) -> dict[str, Any]:
        """The write that gives up the version of a model that was alone in its family."""
        key = table.key(model.organization_id, table.model_version(model.family, model.version))
        return {"Delete": {"TableName": self._table, "Key": table.encode(key)}}

    def family_write(self, model: Model) -> table.Write:
        """The write that tells whoever would move a family's first model that the family grows meanwhile."""
        update = {
            "TableName": self._table,
            "Key": table.encode(table.key(model.organization_id, table.model(model.family))),
            "UpdateExpression": "ADD writes :one",
            "ConditionExpression": "#family = :family",
            "ExpressionAttributeNames": {"#family": "family"},
            "ExpressionAttributeValues": {":one": {"N": "1"}, ":family": {"S": model.family}},
        }
        return table.Guarded({"Update": update}, Moved())

    def _changes(self, old: Model, new: Model) -> list[table.Write]:
        unchanged = {
            "ConditionExpression": "writes = :seen",
            "ExpressionAttributeValues": {":seen": _number(old.writes)},
        }
        put = {"TableName": self._table, "Item": table.encode(_item(new))} | unchanged
        names = [self._name(new, name) for name in new.names if name not in old.names]
        before, after = _counted(old), _counted(new)
        moved = {name: after.get(name, 0) - before.get(name, 0) for name in before | after}
        moved = {name: change for name, change in moved.items() if change}
        counts = [items.count(self._table, new.organization_id, NOUN, moved)] if moved else []
        return [table.Guarded({"Put": put}, Moved()), *names, *counts]

    def removal(self, model: Model) -> list[table.Write]:
        """The writes that take an unchanged model, its names and its place in the counters away."""
        org = model.organization_id
        keys = [table.key(org, table.model_name(name)) for name in model.names]
        names = [{"Delete": {"TableName": self._table, "Key": table.encode(key)}} for key in keys]
        delete = {
            "TableName": self._table,
            "Key": table.encode(table.key(org, table.model(model.id))),
            "ConditionExpression": "writes = :seen",
            "ExpressionAttributeValues": {":seen": _number(model.writes)},
        }
        away = dict.fromkeys(_counted(model), -1)
        return [table.Guarded({"Delete": delete}, Moved()), *names, items.count(self._table, org, NOUN, away)]

    def _name(self, model: Model, name: str) -> table.Write:
        key = table.key(model.organization_id, table.model_name(name))
        new = {"TableName": self._table, "ConditionExpression": "attribute_not_exists(pk)"}
        return table.Guarded({"Put": new | {"Item": table.encode(key | {"model_id": model.id})}}, NameTaken(name))

    def _of(self, organization_id: str, prefix: str) -> Iterator[table.Item]:
        values = {":p": {"S": table.organization(organization_id)}, ":prefix": {"S": prefix}}
        return table.query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="pk = :p AND begins_with(sk, :prefix)",
            ExpressionAttributeValues=values,
            ConsistentRead=True,
        )

    def _read(self, organization_id: str, sort_key: str) -> table.Item | None:
        key = table.encode(table.key(organization_id, sort_key))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return table.decode(answer["Item"]) if "Item" in answer else None


def archived(model_id: str) -> Conflict:
    return Conflict(
        f"Model {model_id} is archived or was removed.",
        details={"current": ARCHIVED, "required": ["ready", "deployed"]},
        remedy="Restore it first.",
    )


def _item(model: Model) -> table.Item:
    """A model has the id of its job, which may be much older than it: its rows sort by when it was made."""
    org, place = model.organization_id, f"{model.created_at}#{model.id}"
    item = (
        table.key(org, table.model(model.id))
        | asdict(model)
        | {"gsi1pk": table.facet(org, NOUN, "STATE", f"{model.status}#{model.type}"), "gsi1sk": place}
        | {"gsi2pk": table.facet(org, NOUN, "BASE", model.base_model), "gsi2sk": place}
        | {"gsi3pk": table.listing(org, NOUN), "gsi3sk": place}
    )
    if model.archived:
        item |= {table.LIVE.partition_key: table.live(NOUN), table.LIVE.sort_key: model.archived["due"]}
    return item


def _model(item: table.Item) -> Model:
    return Model(**{name: item[name] for name in Model.__dataclass_fields__ if name in item})


def _counted(model: Model) -> dict[str, int]:
    return {"total": 1, f"state#{model.status}#{model.type}": 1, f"base#{model.base_model}": 1}


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}
