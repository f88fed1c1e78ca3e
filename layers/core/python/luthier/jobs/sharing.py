"""Which other organizations may make a model of a checkpoint: OpenAI's permissions, whose projects they are here."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from luthier import clock, ids, table
from luthier.accounts.entity import Principal
from luthier.errors import Conflict, InvalidRequest, NotFound
from luthier.jobs.checkpoints import Checkpoint, Checkpoints

# Of a checkpoint; all of them are read at once.
MOST = 100


@dataclass(frozen=True)
class Permission:
    """project_id: the organization that it is given to."""

    id: str
    checkpoint_id: str
    project_id: str
    created_at: str


class PermissionStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def of(self, organization_id: str, checkpoint_id: str) -> list[Permission]:
        """Newest first: one query."""
        start = table.checkpoint_permission(checkpoint_id)
        items = table.query(
            self._client,
            TableName=self._table,
            KeyConditionExpression="pk = :p AND begins_with(sk, :start)",
            ExpressionAttributeValues=table.encode({":p": table.organization(organization_id), ":start": start}),
            ConsistentRead=True,
        )
        found = [Permission(**{name: item[name] for name in Permission.__dataclass_fields__}) for item in items]
        return sorted(found, key=lambda one: (one.created_at, one.id), reverse=True)

    def is_given(self, organization_id: str, checkpoint_id: str, project_id: str) -> bool:
        answer = self._client.get_item(
            TableName=self._table, Key=self._key(organization_id, checkpoint_id, project_id), ConsistentRead=True
        )
        return "Item" in answer

    def add(self, organization_id: str, permission: Permission) -> None:
        """One that is there stays as it is."""
        key = table.key(organization_id, table.checkpoint_permission(permission.checkpoint_id, permission.project_id))
        try:
            self._client.put_item(
                TableName=self._table,
                Item=table.encode(key | asdict(permission)),
                ConditionExpression="attribute_not_exists(pk)",
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return

    def remove(self, organization_id: str, permission: Permission) -> None:
        key = self._key(organization_id, permission.checkpoint_id, permission.project_id)
        self._client.delete_item(TableName=self._table, Key=key)

    def _key(self, organization_id: str, checkpoint_id: str, project_id: str) -> dict[str, Any]:
        return table.encode(table.key(organization_id, table.checkpoint_permission(checkpoint_id, project_id)))


class SharingService:
    def __init__(self, store: PermissionStore, checkpoints: Checkpoints, now: clock.Clock = clock.now) -> None:
        self._store = store
        self._checkpoints = checkpoints
        self._now = now

    def give(self, principal: Principal, checkpoint: str, project_ids: Sequence[str]) -> list[Permission]:
        """Permissions for organizations, in their order. Safe to repeat.

        Raises NotFound, InvalidRequest for the own organization, and Conflict beyond MOST.
        """
        own, found = principal.organization_id, self._own(principal, checkpoint)
        if own in project_ids:
            raise InvalidRequest(
                f"project_ids: {own} owns the checkpoint.", param="project_ids", remedy="Name other organizations."
            )
        present = {one.project_id for one in self._store.of(own, found.id)}
        if len(present | set(project_ids)) > MOST:
            raise Conflict(f"A checkpoint is shared with at most {MOST} organizations.", remedy="Delete permissions.")
        for project_id in project_ids:
            made = Permission(ids.new_id("cp"), found.id, project_id, clock.iso(self._now()))
            self._store.add(own, made)
        given = {one.project_id: one for one in self._store.of(own, found.id)}
        return [given[project_id] for project_id in dict.fromkeys(project_ids) if project_id in given]

    def page(
        self,
        principal: Principal,
        checkpoint: str,
        *,
        limit: int,
        after: str | None = None,
        ascending: bool = False,
        project_id: str | None = None,
    ) -> tuple[list[Permission], bool]:
        """Permissions for a checkpoint, newest first unless `ascending`, and whether more follow. Raises NotFound."""
        found = self._store.of(principal.organization_id, self._own(principal, checkpoint).id)
        wanted = [one for one in found if project_id in (None, one.project_id)][:: -1 if ascending else 1]
        known = [one.id for one in wanted]
        if after and after not in known:
            raise InvalidRequest(f"after: there is no permission {after!r}.", param="after", remedy="Send the last id.")
        start = known.index(after) + 1 if after else 0
        return wanted[start : start + limit], len(wanted) > start + limit

    def take_back(self, principal: Principal, checkpoint: str, permission_id: str) -> Permission:
        """What was made of the checkpoint before stays whose it is. Raises NotFound."""
        found = self._store.of(principal.organization_id, self._own(principal, checkpoint).id)
        for one in found:
            if one.id == permission_id:
                self._store.remove(principal.organization_id, one)
                return one
        raise NotFound(f"No permission {permission_id!r}.", param="permission_id", remedy="List the permissions.")

    def find(self, organization_id: str, reference: str) -> Checkpoint:
        """The checkpoint that an organization may make a model of: its own, or by its name one that is shared with it.

        Raises NotFound; nobody learns that a checkpoint exists which is not shared.
        """
        try:
            return self._checkpoints.find(organization_id, reference)
        except NotFound:
            owner = owner_in(reference)
            if owner is None or owner == organization_id:
                raise
            found = self._checkpoints.find(owner, reference)
            if not self._store.is_given(owner, found.id, organization_id):
                raise
            return found

    def _own(self, principal: Principal, checkpoint: str) -> Checkpoint:
        return self._checkpoints.find(principal.organization_id, checkpoint, param="fine_tuned_model_checkpoint")


def owner_in(name: str) -> str | None:
    """The organization in a checkpoint's name, `ft:base:organization:suffix:id:ckpt-step-1`."""
    parts = name.split(":")
    return parts[2] if len(parts) == 6 and parts[0] == "ft" else None
