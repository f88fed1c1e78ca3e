"""A model: what a completed job yields. Pure."""

from dataclasses import dataclass, field
from typing import Any

ADAPTER, OWN_MODEL = "adapter", "model"
_AS_ADAPTER = {"kind": ADAPTER, "path": "."}


@dataclass(frozen=True)
class Model:
    """A fine-tuned model. `name` is its first public name; all of `names` resolve to it.

    `artifact_uri` is the S3 prefix of the run's model folder; `bytes` is its size; `files` are `{path, size, sha256}`.
    serving: `{kind, path}` inside it: an `adapter` over the base model, or a `model` of its own, as full weights and
    DoRA are served; hyperparameters: as the job had them; start_from: the public name of the model it was trained from.
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
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    base_revision: str | None = None
    start_from: str | None = None
    serving: dict[str, str] = field(default_factory=lambda: dict(_AS_ADAPTER))
    version: str = "v1.0.0"
    datasets: list[dict[str, Any]] = field(default_factory=list)
    evaluation: dict[str, Any] | None = None
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    writes: int = 1

    @property
    def has_adapter(self) -> bool:
        """Whether the folder holds an adapter, whatever is served."""
        return any(file["path"] == "adapter_config.json" for file in self.files)

    @property
    def served_uri(self) -> str:
        """S3 prefix of what is served: the adapter, or the model of its own."""
        path = self.serving.get("path", ".")
        return self.artifact_uri if path == "." else f"{self.artifact_uri.rstrip('/')}/{path}"


def public_names(base_model: str, organization_id: str, suffix: str | None, short_id: str) -> list[str]:
    """The names of a job's result: `<base>-<suffix>`, `ft:<base>:<org>:<suffix>:<id>`, `<org>/<base>-ft-<id>`."""
    base = base_model.rsplit("/", 1)[-1]
    return [
        f"{base_model}-{suffix or short_id}",
        f"ft:{base_model}:{organization_id}:{suffix or ''}:{short_id}",
        f"{organization_id}/{base}-ft-{short_id}",
    ]
