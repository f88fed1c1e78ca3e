"""A job: one request to fine-tune, its lifecycle and its attempts. Pure: standard library only.

queued → preparing → running → completed
   └─────────┴──────────┴────→ stopping → stopped
   └─────────┴──────────┴────→ pausing → paused
   └─────────┴──────────┴────→ failed
restart and resume open the next attempt: failed | stopped | paused → queued
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

QUEUED, PREPARING, RUNNING = "queued", "preparing", "running"
STOPPING, STOPPED, FAILED, COMPLETED = "stopping", "stopped", "failed", "completed"
PAUSING, PAUSED = "pausing", "paused"

LIVE = (QUEUED, PREPARING, RUNNING, STOPPING, PAUSING)
# Asked to end: it saves a checkpoint, and no step begins anything new for it.
ENDING = (STOPPING, PAUSING)
TERMINAL = (COMPLETED, FAILED, STOPPED)

# What each status may become. A transition that is not here is refused.
TRANSITIONS: dict[str, tuple[str, ...]] = {
    QUEUED: (PREPARING, STOPPING, STOPPED, PAUSING, PAUSED, FAILED),
    # A run whose events were all lost ends here without ever having been seen running.
    PREPARING: (QUEUED, RUNNING, STOPPING, STOPPED, PAUSING, PAUSED, FAILED, COMPLETED),
    RUNNING: (QUEUED, STOPPING, STOPPED, PAUSING, PAUSED, FAILED, COMPLETED),
    STOPPING: (STOPPED, FAILED, COMPLETED),
    STOPPED: (QUEUED,),
    PAUSING: (PAUSED, STOPPING, FAILED, COMPLETED),
    PAUSED: (QUEUED, STOPPED),
    FAILED: (QUEUED,),
    COMPLETED: (),
}

# The six statuses that lists, filters and counters know: a user asks whether it waits, runs, rests or has ended.
SHOWN = {PREPARING: QUEUED, STOPPING: STOPPED, PAUSING: PAUSED}


@dataclass(frozen=True)
class ReadFile:
    """A file that a run reads: whose, under which name the container finds it, and how often its rows count."""

    dataset_id: str
    name: str
    weight: float = 1.0


class IllegalTransition(Exception):
    """A status change that the lifecycle does not allow."""

    def __init__(self, current: str, wanted: str) -> None:
        super().__init__(f"A job that is {current} cannot become {wanted}.")
        self.current = current
        self.wanted = wanted


@dataclass(frozen=True)
class Step:
    """The address of one attempt, as the state machine carries it."""

    organization_id: str
    job_id: str
    attempt: int

    @classmethod
    def of(cls, payload: dict[str, Any]) -> "Step":
        return cls(payload["organization_id"], payload["job_id"], payload["attempt"])


Export = Literal["merged", "pytorch", "gguf-f16", "gguf-q8_0", "onnx", "tensorrt"]
# Judged on held-out rows that have a reference answer; `tasks` are lm-eval's.
EVALUATION: dict[str, Any] = {"generate": True, "max_examples": 100, "max_new_tokens": 256, "tasks": []}


@dataclass(frozen=True)
class JobRequest:
    """What a client asks for. `training_dataset` and `validation_file` are file ids, names or paths.

    base_model: a base model, or a finished model of the organization whose adapter is trained on.
    """

    name: str
    base_model: str
    training_dataset: str
    # Further files of it, each with its weight; then `training_weight` is that of the first.
    more_training: list[tuple[str, float]] = field(default_factory=list)
    training_weight: float = 1.0
    # Of lines that may be bad and are skipped.
    invalid_share: float = 0.0
    description: str | None = None
    validation_file: str | None = None
    # Wire name → value; luthier.jobs.hyperparameters checks them.
    hyperparameters: dict[str, Any] | None = None
    suffix: str | None = None
    hardware: str | None = None
    method: str = "sft"
    # Kinds of file that the run leaves beside the adapter, and what of EVALUATION is asked for otherwise.
    exports: list[str] = field(default_factory=list)
    evaluation: dict[str, Any] | None = None
    # In the currency of the estimate; None = no cap.
    max_cost: float | None = None
    webhook_url: str | None = None
    # The run of Weights & Biases that it becomes: {project, name, entity, tags}.
    wandb: dict[str, Any] | None = None
    # Of the learning rate that "auto" stands for.
    learning_rate_multiplier: float | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    # False: it is checked and priced, and waits to be started.
    auto_start: bool = True


@dataclass(frozen=True)
class Job:
    """One job. Timestamps are ISO 8601 UTC; money is in `cost["currency"]`; `version` counts writes.

    expected: tokens and billed seconds that the run is expected to take, None where nobody has estimated them;
    base_model: of the catalogue, also where the job goes on from another model; start_from: that model as
    {model, model_id, artifact_uri}; auto: hyperparameters that "auto" stood for; result_file: id of the file that the
    metrics of its steps are in once it has completed; mixture: where it trains on several files, each of them as
    {file_id, weight, sha256, rows}, `training_dataset` being the first; wandb: the run of
    Weights & Biases that it becomes, {project, name, entity, tags}; wandb_file: id of the file that holds it;
    digests: id of each file that it reads → sha256
    (hex); ended: how the last finished run says that it ended: completed, early_stopped, max_seconds, max_cost or
    stopped.
    """

    id: str
    organization_id: str
    owner: str
    name: str
    base_model: str
    training_dataset: str
    training_file: str
    hyperparameters: dict[str, Any]
    created_at: str
    updated_at: str
    description: str | None = None
    validation_dataset: str | None = None
    validation_file: str | None = None
    mixture: list[dict[str, Any]] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)
    base_revision: str | None = None
    invalid_share: float = 0.0
    suffix: str | None = None
    method: str = "sft"
    auto: list[str] = field(default_factory=list)
    start_from: dict[str, Any] | None = None
    exports: list[str] = field(default_factory=list)
    evaluation: dict[str, Any] = field(default_factory=lambda: dict(EVALUATION))
    hardware: str = ""
    # The key that queued this attempt; it counts against that key's limit while it lives.
    key_id: str = ""
    # Credits held for this attempt.
    held_cents: int = 0
    # Of the run at work, by its progress; cost["accrued"] takes in what it did cost once it has ended.
    running_cost: float = 0.0
    status: str = QUEUED
    phase: str | None = None
    status_reason: dict[str, Any] | None = None
    result_model: str | None = None
    result_file: str | None = None
    wandb: dict[str, Any] | None = None
    wandb_file: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    learning_rate_multiplier: float | None = None
    ended: str | None = None
    trained_tokens: int | None = None
    metrics: dict[str, Any] | None = None
    progress: dict[str, Any] | None = None
    cost: dict[str, Any] = field(default_factory=dict)
    expected: dict[str, int] | None = None
    resumable: dict[str, Any] | None = None
    attempt: int = 1
    # The attempt whose checkpoints this one continues; a restart from scratch opens a new series.
    series: int = 1
    # Counts CreateTrainingJob calls of this attempt. Stored before the call, so a repeated step finds its own job.
    launch: int = 0
    training_job_name: str | None = None
    deployment_id: str | None = None
    # Hears of this job's events, besides the organization's own endpoints.
    webhook_url: str | None = None
    started_at: str | None = None
    finished_at: str | None = None
    version: int = 1

    @property
    def training_files(self) -> list[ReadFile]:
        """The files of the train channel."""
        if not self.mixture:
            return [ReadFile(self.training_dataset, "train.jsonl")]
        return [
            ReadFile(part["file_id"], f"train-{number:02}.jsonl", part["weight"])
            for number, part in enumerate(self.mixture, 1)
        ]

    @property
    def reads(self) -> list[tuple[ReadFile, str]]:
        """All files that it reads, each with its channel."""
        held_out = [ReadFile(self.validation_dataset, "validation.jsonl")] if self.validation_dataset else []
        return [*((file, "train") for file in self.training_files), *((file, "validation") for file in held_out)]

    @property
    def shown_status(self) -> str:
        return SHOWN.get(self.status, self.status)

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def expected_cost(self) -> float:
        """What the next run of this job may cost: the estimate, or what is left below the cap."""
        estimate: float = self.cost["estimate"]
        return estimate if self.budget_left is None else min(estimate, self.budget_left)

    @property
    def budget_left(self) -> float | None:
        """What this job may still cost; None where it has no cap."""
        cap = self.cost.get("cap")
        return None if cap is None else max(0.0, cap - self.cost["accrued"])

    @property
    def cost_so_far(self) -> dict[str, Any]:
        """The cost as people see it: what has ended and what is running."""
        return self.cost | {"accrued": round(self.cost["accrued"] + self.running_cost, 4)}

    @property
    def execution_name(self) -> str:
        return f"{self.id}-{self.attempt}".replace("_", "-")

    def become(self, status: str, now: str, **changes: Any) -> "Job":
        """This job in another status, one version later. Raises IllegalTransition."""
        if status not in TRANSITIONS[self.status]:
            raise IllegalTransition(self.status, status)
        return replace(self, status=status, updated_at=now, version=self.version + 1, **changes)

    def note(self, now: str, **changes: Any) -> "Job":
        """This job with other facts and the same status, one version later."""
        return replace(self, updated_at=now, version=self.version + 1, **changes)

    def next_launch(self, now: str) -> "Job":
        """This job about to launch a training job under a name that was never used before."""
        launch = self.launch + 1
        return self.note(now, launch=launch, training_job_name=f"{self.execution_name}-{launch}")

    def next_attempt(self, now: str, *, from_scratch: bool = False, max_cost: float | None = None) -> "Job":
        """The next attempt of an ended or paused job; it continues from the last checkpoint unless `from_scratch`.

        max_cost: the new cap of all attempts together; None keeps the present one.
        """
        attempt = self.attempt + 1
        begun: dict[str, Any] = {"progress": None, "metrics": None, "trained_tokens": None} if from_scratch else {}
        return self.become(
            QUEUED,
            now,
            **begun,
            attempt=attempt,
            series=attempt if from_scratch else self.series,
            cost=self.cost if max_cost is None else self.cost | {"cap": max_cost},
            launch=0,
            training_job_name=None,
            phase=None,
            status_reason=None,
            ended=None,
            resumable=None,
            started_at=None,
            finished_at=None,
        )
