"""Wire shapes of the audit log on the account surface."""

from typing import Literal, Self

from luthier.audit.entity import Entry
from luthier.wire import Answer


class AuditEntry(Answer):
    """`key_id` is null for what an operator did with AWS credentials; `user_id` then says which.

    deployment_id, model_version: what answered, where a model was asked.
    """

    id: str
    at: str
    user_id: str
    key_id: str | None
    action: str
    resource_id: str | None
    status: int | None
    ip: str | None
    request_id: str | None
    deployment_id: str | None
    model_version: str | None


class AuditPage(Answer):
    object: Literal["list"] = "list"
    data: list[AuditEntry]
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, entries: list[Entry], more: bool) -> Self:
        shown = [AuditEntry.model_validate(entry) for entry in entries]
        return cls(data=shown, last_id=shown[-1].id if shown else None, has_more=more)
