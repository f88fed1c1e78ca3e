"""Wire shapes of API keys on the account surface."""

from typing import Literal, Self

from pydantic import Field

from luthier.accounts.entity import (
    LONGEST_KEY_NAME,
    LONGEST_OVERLAP_SECONDS,
    LONGEST_USER_ID,
    MOST_CONCURRENT_JOBS,
    MOST_REQUESTS_PER_MINUTE,
    ApiKey,
)
from luthier.wire import Answer, Request


class CreateKey(Request):
    name: str = Field(min_length=1, max_length=LONGEST_KEY_NAME, description="What the key is for.")
    scopes: list[str] = Field(min_length=1, description="What the key may do, for example fine-tuning:read.")
    user_id: str | None = Field(
        default=None, min_length=1, max_length=LONGEST_USER_ID, description="Whom it acts for; by default the caller's."
    )
    expires_at: str | None = Field(default=None, description="ISO 8601; without it the key works until it is revoked.")
    requests_per_minute: int | None = Field(
        default=None, ge=1, le=MOST_REQUESTS_PER_MINUTE, description="Instead of the platform's limit."
    )
    concurrent_jobs: int | None = Field(
        default=None, ge=0, le=MOST_CONCURRENT_JOBS, description="Instead of the platform's limit."
    )


class RotateKey(Request):
    overlap_seconds: int = Field(
        default=24 * 3600, ge=0, le=LONGEST_OVERLAP_SECONDS, description="How long the old key goes on working."
    )


class Key(Answer):
    """A key without its secret. `prefix`: how the secret begins, to recognise it by; limits null: the platform's."""

    id: str
    object: Literal["organization.api_key"] = "organization.api_key"
    name: str
    prefix: str
    scopes: list[str]
    user_id: str
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None
    replaced_by: str | None
    requests_per_minute: int | None
    concurrent_jobs: int | None


class KeyIssued(Key):
    """`key` is the secret; it is shown here and never again."""

    key: str

    @classmethod
    def of(cls, key: ApiKey, secret: str) -> Self:
        return cls(**Key.model_validate(key).model_dump(), key=secret)


class KeyRevoked(Answer):
    id: str
    object: Literal["organization.api_key.deleted"] = "organization.api_key.deleted"
    deleted: Literal[True] = True
    revoked_at: str | None


class KeyPage(Answer):
    object: Literal["list"] = "list"
    data: list[Key]
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, keys: list[ApiKey], more: bool) -> Self:
        shown = [Key.model_validate(key) for key in keys]
        return cls(data=shown, last_id=shown[-1].id if shown else None, has_more=more)
