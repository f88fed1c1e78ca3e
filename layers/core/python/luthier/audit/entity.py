"""The audit log: who did what, when, from where, with which key, on which resource. Pure: standard library only."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One thing that was done. key_id: None for what an operator did with AWS credentials.

    action: `POST /v1/files`, or the command; resource_id: what it was done to, where it was one thing;
    deployment_id, model_version: who answered, where a model was asked.
    """

    id: str
    organization_id: str
    at: str
    user_id: str
    key_id: str | None
    action: str
    resource_id: str | None = None
    status: int | None = None
    ip: str | None = None
    request_id: str | None = None
    deployment_id: str | None = None
    model_version: str | None = None
