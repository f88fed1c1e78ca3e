"""Wire shapes of OpenAI's permissions for checkpoints; times are in Unix seconds."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from luthier import clock
from luthier.jobs.sharing import MOST, Permission
from luthier.wire import Answer, Request

_Project = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class GivePermissions(Request):
    project_ids: list[_Project] = Field(min_length=1, max_length=MOST, description="Organizations of this platform.")


class PermissionObject(Answer):
    id: str
    object: Literal["checkpoint.permission"] = "checkpoint.permission"
    created_at: int
    project_id: str


class PermissionList(Answer):
    object: Literal["list"] = "list"
    data: list[PermissionObject]
    has_more: bool
    first_id: str | None
    last_id: str | None

    @classmethod
    def of(cls, found: Sequence[Permission], *, has_more: bool) -> Self:
        data = [
            PermissionObject(id=one.id, created_at=clock.epoch(one.created_at), project_id=one.project_id)
            for one in found
        ]
        first_id, last_id = (data[0].id, data[-1].id) if data else (None, None)
        return cls(data=data, has_more=has_more, first_id=first_id, last_id=last_id)


class PermissionDeleted(Answer):
    id: str
    object: Literal["checkpoint.permission"] = "checkpoint.permission"
    deleted: Literal[True] = True
