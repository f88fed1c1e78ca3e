"""A processing: one SageMaker job of the trainer's image on a model or a file, and what came of it. Pure."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

EVALUATE, PACKAGE, ADOPT, PREVIEW = "evaluate", "package", "adopt", "preview"
QUEUED, RUNNING, COMPLETED, FAILED = "queued", "running", "completed", "failed"
LIVE = (QUEUED, RUNNING)


@dataclass(frozen=True)
class Processing:
    """What `kind` does to one `subject`, the id of a model, base model or file; a retry is a new attempt of it.

    spec: JSON that says all of what is wanted, so that an equal wish is the same processing; context: JSON that does
    not distinguish wishes, as where to find what the spec knows by its hash; status_reason: `{code, message, hint}`;
    launch: counts the SageMaker jobs of an attempt, so that no job name is used twice; seconds, cost: billed over all
    attempts, cost in the catalogue's currency; billed: whether credits pay the attempt; `writes` counts writes.
    """

    id: str
    organization_id: str
    kind: str
    subject: str
    base_model: str
    spec: dict[str, Any]
    owner: str
    created_at: str
    updated_at: str
    context: dict[str, Any] = field(default_factory=dict)
    status: str = QUEUED
    status_reason: dict[str, Any] | None = None
    attempt: int = 1
    launch: int = 0
    training_job_name: str | None = None
    result: dict[str, Any] | None = None
    seconds: int = 0
    cost: float = 0.0
    finished_at: str | None = None
    billed: bool = False
    writes: int = 1

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def about(self) -> str | None:
        """What to tell a person about it: the benchmark, the format, or the name of the new model."""
        known = self.context | self.spec
        return next((known[name] for name in ("benchmark", "format", "name") if name in known), None)

    @property
    def model_id(self) -> str:
        """The model that it is about; of a preview, which is about a file, the base model."""
        return self.base_model if self.kind == PREVIEW else self.subject

    @property
    def execution_name(self) -> str:
        return f"{self.id.replace('_', '-')}-{self.attempt}"

    @property
    def folder(self) -> str:
        """Key prefix of its objects in the artifacts bucket, which nothing else writes below."""
        return f"{self.organization_id}/jobs/processing/{self.id}"

    @property
    def step(self) -> dict[str, Any]:
        """Input of the state machine."""
        return {
            "organization_id": self.organization_id,
            "processing_id": self.id,
            "attempt": self.attempt,
            "base_model": self.base_model,
        }

    def again(self, now: str, context: dict[str, Any], *, billed: bool) -> "Processing":
        """The next attempt of a failed processing."""
        return self._next(
            now, status=QUEUED, status_reason=None, attempt=self.attempt + 1, launch=0, training_job_name=None,
            finished_at=None, context=context, billed=billed,
        )  # fmt: skip

    def next_launch(self, now: str) -> "Processing":
        """Running under a job name that was never used: at most 63 characters."""
        launch = self.launch + 1
        name = f"{self.id.replace('_', '-')}-{self.attempt}-{launch}"
        return self._next(now, status=RUNNING, status_reason=None, launch=launch, training_job_name=name)

    def waiting(self, now: str, reason: dict[str, Any]) -> "Processing":
        """Waiting for a machine; the launch that got none is over."""
        return self._next(now, status=QUEUED, status_reason=reason, training_job_name=None)

    def completed(self, now: str, result: dict[str, Any], *, seconds: int, cost: float) -> "Processing":
        return self._ended(now, seconds, cost, status=COMPLETED, status_reason=None, result=result)

    def failed(self, now: str, reason: dict[str, Any], *, seconds: int, cost: float) -> "Processing":
        return self._ended(now, seconds, cost, status=FAILED, status_reason=reason)

    def told(self, now: str) -> "Processing":
        """Failed, and whoever asked for it knows."""
        return self._next(now, context=self.context | {"told": True})

    def _ended(self, now: str, seconds: int, cost: float, **changes: Any) -> "Processing":
        billed = {"seconds": self.seconds + seconds, "cost": round(self.cost + cost, 4)}
        return self._next(now, finished_at=now, **billed, **changes)

    def _next(self, now: str, **changes: Any) -> "Processing":
        return replace(self, updated_at=now, writes=self.writes + 1, **changes)


def id_of(organization_id: str, kind: str, subject: str, spec: dict[str, Any]) -> str:
    """The id of an organization's wish: the same every time."""
    wish = json.dumps([organization_id, kind, subject, spec], sort_keys=True, separators=(",", ":"))
    return f"proc_{hashlib.sha256(wish.encode()).hexdigest()[:20]}"
