"""A model: what a completed job yields or an import brings, one version of a line of models. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

ADAPTER, OWN_MODEL = "adapter", "model"
_AS_ADAPTER = {"kind": ADAPTER, "path": "."}

READY, DEPLOYED, ARCHIVED = "ready", "deployed", "archived"
STATUSES = (READY, DEPLOYED, ARCHIVED)
TYPES = ("llm", "vision", "multimodal", "custom")
# What a model to be is: the job is at work or rests, has failed, or was stopped.
TRAINING, FAILED, CANCELLED = "training", "failed", "cancelled"
FIRST_VERSION = "v1.0.0"
TRAINED, IMPORTED = "training", "import"
# Of a deployment that takes requests.
_ACTIVE = "active"


@dataclass(frozen=True)
class Model:
    """A fine-tuned model. `name` is the public name it goes by; all of `names` resolve to it.

    job_id: empty where an import brought it (`source`). `artifact_uri` is the S3 prefix of the run's model folder;
    `bytes` is its size; `files` are `{path, size, sha256}`.
    serving: `{kind, path}` inside it: an `adapter` over the base model, or a `model` of its own, as full weights and
    DoRA are served; hyperparameters: as the job had them; start_from: the public name of the model it was trained from.
    version: unique in the family, which is called by the id of the first model of the line; writes: counts them;
    parent: id of the model it was trained from; datasets: `{role, file_id, sha256, rows}`; architecture: `{layers,
    attention_heads, hidden_size, vocabulary_size, context_length}`; training: `{strategy, parameters, epochs,
    final_learning_rate, best_loss, total_steps, training_time}`; evaluation: base beside tuned, as the card has it;
    compressed_bytes: of the newest archive of it as it is; deployments: live ones, id → `{name, environment, status,
    workers, created_at}`; archived: `{reason, at, retention_period, expires_at, due, kept_because}`; formats: format →
    `{uri, files, proof}`.
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
    status: str = READY
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
    version: str = FIRST_VERSION
    family: str = ""
    writes: int = 1
    changelog: list[str] = field(default_factory=list)
    parent: str | None = None
    datasets: list[dict[str, Any]] = field(default_factory=list)
    architecture: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] | None = None
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    compressed_bytes: int | None = None
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    archived: dict[str, Any] | None = None
    formats: dict[str, dict[str, Any]] = field(default_factory=dict)
    source: str = TRAINED

    def __post_init__(self) -> None:
        if not self.family:
            object.__setattr__(self, "family", self.id)

    @property
    def has_adapter(self) -> bool:
        """Whether the folder holds an adapter, whatever is served."""
        return any(file["path"] == "adapter_config.json" for file in self.files)

    @property
    def served_uri(self) -> str:
        """S3 prefix of what is served: the adapter, or the model of its own."""
        path = self.serving.get("path", ".")
        return self.artifact_uri if path == "." else f"{self.artifact_uri.rstrip('/')}/{path}"

    @property
    def active_deployments(self) -> list[str]:
        """Ids of the deployments that take requests."""
        return [name for name, facts in self.deployments.items() if facts["status"] == _ACTIVE]

    def linked(self, deployment_id: str, facts: dict[str, Any] | None) -> "Model":
        """This model with a deployment as it now is; None: without it."""
        others = {name: known for name, known in self.deployments.items() if name != deployment_id}
        return self._settled(deployments=others if facts is None else others | {deployment_id: facts})

    def put_away(self, now: str, archived: dict[str, Any]) -> "Model":
        return self._settled(archived=archived, updated_at=now)

    def brought_back(self, now: str) -> "Model":
        return self._settled(archived=None, updated_at=now)

    def _settled(self, **changes: Any) -> "Model":
        new = replace(self, **changes)
        return replace(new, status=ARCHIVED if new.archived else DEPLOYED if new.active_deployments else READY)


@dataclass(frozen=True)
class Unfinished:
    """A model to be: what a job that has yielded none, or none yet, shows of it. Its id is the model's to come."""

    id: str
    name: str
    description: str | None
    status: str
    status_reason: dict[str, Any] | None
    base_model: str
    job_id: str
    created_at: str
    updated_at: str
    parent: str | None = None
    type: str = "llm"


# Shown status of a job → status of its model to be. A completed job has a model, or had one that was deleted.
_OF_JOB = {"queued": TRAINING, "running": TRAINING, "paused": TRAINING, "failed": FAILED, "stopped": CANCELLED}


def unfinished(job: Mapping[str, Any], shown_status: str) -> Unfinished | None:
    """What a job, or a list row of it, shows of its model to be; None once it has completed."""
    if shown_status not in _OF_JOB:
        return None
    return Unfinished(
        id=id_of_job(job["id"]),
        name=job["name"],
        description=job.get("description"),
        status=_OF_JOB[shown_status],
        status_reason=job.get("status_reason"),
        base_model=job["base_model"],
        job_id=job["id"],
        created_at=job["created_at"],
        updated_at=job["updated_at"],
        parent=(job.get("start_from") or {}).get("model_id"),
    )


def job_statuses(status: str) -> tuple[str, ...]:
    """The shown statuses of the jobs whose models to be have a status; none for the status of a model."""
    return tuple(shown for shown, own in _OF_JOB.items() if own == status)


def id_of_job(job_id: str) -> str:
    """The id of the model that a job or an import yields, from any spelling of the job's or import's id."""
    return f"model_{_unique(job_id)}"


def job_of_id(model_id: str) -> str:
    """The id of the job that a model of that id would be the result of."""
    return f"ftjob_{_unique(model_id)}"


def _unique(spelled: str) -> str:
    return spelled.replace("-", "_").rpartition("_")[2]


def public_names(base_model: str, organization_id: str, suffix: str | None, short_id: str) -> list[str]:
    """The names of a job's result: `<base>-<suffix>`, `ft:<base>:<org>:<suffix>:<id>`, `<org>/<base>-ft-<id>`."""
    base = base_model.rsplit("/", 1)[-1]
    return [
        f"{base_model}-{suffix or short_id}",
        f"ft:{base_model}:{organization_id}:{suffix or ''}:{short_id}",
        f"{organization_id}/{base}-ft-{short_id}",
    ]
