"""A model: what a completed job yields. Pure."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Model:
    """A fine-tuned model. `name` is its first public name; all of `names` resolve to it.

    `artifact_uri` is the S3 prefix of the adapter; `bytes` is its size; `files` are `{path, size, sha256}`.
    """

    id: str
    organization_id: str
    name: str
    names: list[str]
    base_model: str
    job_id: str
    owner: str
    artifact_uri: str
    created_at: str
    updated_at: str
    type: str = "llm"
    status: str = "ready"
    description: str | None = None
    method: str = "sft"
    metrics: dict[str, Any] = field(default_factory=dict)
    trained_tokens: int | None = None
    parameters: int | None = None
    trainable_parameters: int | None = None
    bytes: int = 0
    files: list[dict[str, Any]] = field(default_factory=list)
    version: int = 1


def public_names(base_model: str, organization_id: str, suffix: str | None, short_id: str) -> list[str]:
    """The names of a job's result: `<base>-<suffix>`, `ft:<base>:<org>:<suffix>:<id>`, `<org>/<base>-ft-<id>`."""
    base = base_model.rsplit("/", 1)[-1]
    return [
        f"{base_model}-{suffix or short_id}",
        f"ft:{base_model}:{organization_id}:{suffix or ''}:{short_id}",
        f"{organization_id}/{base}-ft-{short_id}",
    ]
