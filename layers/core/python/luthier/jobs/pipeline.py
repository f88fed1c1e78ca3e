"""What the training state machine does with a job, step by step. Each step may run twice and means the same.

`SettleJob` ends every attempt; the steps before it raise, and the state machine brings the error to it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from luthier import clock, ids, table
from luthier.catalog import service as catalog
from luthier.catalog.calibration import Calibration, workload
from luthier.credits.service import CreditService
from luthier.datasets.entity import JOB_RESULTS, Dataset
from luthier.datasets.service import DatasetService
from luthier.errors import Conflict, NotFound
from luthier.events.entity import Event, event
from luthier.jobs import budget, entity, outcome, timeline
from luthier.jobs.entity import Job, Step
from luthier.jobs.runs import Runs
from luthier.jobs.storage import JobStorage
from luthier.jobs.store import JobStore
from luthier.models.service import ModelService
from luthier.usage.service import UsageService

# A run may take this many times its estimate, and at least two hours; SageMaker's own limit is five days.
_ESTIMATE_FACTOR = 5
_LEAST_SECONDS, _MOST_SECONDS = 2 * 3600, 5 * 24 * 3600
_VOLUME_GB = 50
# In sizes of the 16-bit weights. ONNX holds 32 bits; a checkpoint of full weights 2 + 4 + 8 bytes per parameter, twice.
_EXPORT_COPIES = {"onnx": 2}
_CHECKPOINT_COPIES = 14


class TrainingPipeline:
    def __init__(
        self,
        store: JobStore,
        datasets: DatasetService,
        storage: JobStorage,
        models: ModelService,
        runs: Runs,
        calibration: Calibration,
        credits: CreditService,
        usage: UsageService,
        now: clock.Clock = clock.now,
    ) -> None:
        self._store = store
        self._datasets = datasets
        self._storage = storage
        self._models = models
        self._runs = runs
        self._calibration = calibration
        self._credits = credits
        self._usage = usage
        self._now = now

    def prepare_dataset(self, step: Step) -> dict[str, Any]:
        """Copy the job's data beside its config, so that later changes of the files do not reach it."""
        job = self._change(step, lambda job, now: job.become(entity.PREPARING, now) if job.status == "queued" else job)
        for file, channel in job.reads:
            dataset = self._datasets.stored(job.organization_id, file.dataset_id)
            self._datasets.copy_to(dataset, *self._storage.rows_at(job, channel, file.name))
        base = catalog.find_base_model(job.base_model)
        self._storage.write_config(job, base.id, base.revision, budget.price_per_second(job))
        return {"base_model": job.base_model}

    def bound_run(self, step: Step) -> dict[str, Any]:
        """Bound the run: its longest time follows from estimate and cap, so that a hanging run cannot overspend."""
        job = self._current(step)
        per_second = budget.price_per_second(job)
        expected = job.cost["estimate"] / per_second if per_second else 0
        longest = min(_MOST_SECONDS, max(_LEAST_SECONDS, int(_ESTIMATE_FACTOR * expected)))
        return {"max_runtime_seconds": min(longest, budget.longest_seconds(job) or longest)}

    def plan_launch(self, step: Step, *, model_uri: str, max_runtime_seconds: int) -> dict[str, Any]:
        """Store the name of the next training job and answer what it is created with."""
        job = self._change(step, lambda job, now: job.next_launch(now))
        hardware = catalog.find_hardware(job.hardware)
        return self._storage.launch(job, model_uri) | {
            "training_job_name": job.training_job_name,
            "instance_type": hardware.instance_type(job.launch),
            "volume_gb": _volume_gb(job),
            "max_runtime_seconds": max_runtime_seconds,
        }

    def assess_training(self, step: Step, error: dict[str, Any] | None) -> str:
        """`completed`, `paused`, `running`, `stopped`, `failed` or `no_capacity`: SageMaker's word decides."""
        job = self._current(step, stopping_too=True)
        verdict = outcome.verdict(self._runs.training_job(job.training_job_name), error)
        if verdict == outcome.COMPLETED and self._reached_cap(job):
            return outcome.PAUSED
        if verdict == outcome.NO_CAPACITY:
            self._change(step, _wait_for_capacity)
        return verdict

    def register_model(self, step: Step) -> str:
        """Enter the finished model into the registry; its public name."""
        job = self._current(step, stopping_too=True)
        described = self._runs.training_job(job.training_job_name)
        if not described:
            raise NotFound(f"SageMaker does not know {job.training_job_name} any more.", code="artifact_missing")
        artifact = described["ModelArtifacts"]["S3ModelArtifacts"]
        card = self._storage.read_card(artifact)
        self._calibrate(job, card)
        return self._models.register(job, artifact, card).name

    def _calibrate(self, job: Job, card: dict[str, Any]) -> None:
        """Learn the speed of this run, unless it continues another whose tokens it counts too."""
        if job.attempt == 1 and card.get("seconds") and card.get("trained_tokens"):
            model = catalog.find_base_model(job.base_model).id
            kind = workload(job.method, job.hyperparameters.get("adapter", "lora"))
            self._calibration.record(model, job.hardware, kind, tokens=card["trained_tokens"], seconds=card["seconds"])

    def settle(self, step: Step, *, error: dict[str, Any] | None = None) -> Job:
        """End the attempt: status, reason, cost and what can be resumed. The last word, from any path."""

        def settled() -> Job:
            job = self._get(step)
            if job.attempt != step.attempt or not job.is_live:
                return job
            described = self._runs.training_job(job.training_job_name)
            new, fact = self._settled(job, described, error)
            writes = self._payment(job, described)
            if new.status == entity.COMPLETED:
                results, wandb = self._results(job), self._wandb(job)
                new = replace(new, result_file=results.id if results else None, wandb_file=wandb.id if wandb else None)
                writes += [write for file in (results, wandb) if file for write in self._datasets.output_writes(file)]
            self._store.save(job, new, fact, joined=writes)
            return new

        return table.until_unchanged(step.job_id, settled)

    def _results(self, job: Job) -> Dataset | None:
        """The file with the metrics of a job's steps, its content stored; None where it has reported none."""
        lines = self._storage.metrics(job)
        if not lines:
            return None
        content = timeline.as_csv(lines).encode()
        file = self._left(job, job.id, f"{job.id}_results.csv", content, "text/csv")
        return replace(file, rows=content.count(b"\n") - 1)

    def _wandb(self, job: Job) -> Dataset | None:
        """The file with the run for Weights & Biases; None where none was wished for or written."""
        content = self._storage.wandb_run(job) if job.wandb else None
        if content is None:
            return None
        return self._left(job, ids.beside(job.id, "wandb"), f"{job.id}_wandb.tar.gz", content, "application/gzip")

    def _left(self, job: Job, unique: str, name: str, content: bytes, content_type: str) -> Dataset:
        file_id = f"file-{unique.rpartition('_')[2]}"
        file = self._datasets.output(job.organization_id, file_id, name, JOB_RESULTS)
        self._storage.write_results(file.s3_key, content, content_type)
        return replace(file, bytes=len(content))

    def _payment(self, job: Job, described: dict[str, Any] | None) -> list[table.Write]:
        """What the end of the attempt does to the organization's credits and usage."""
        seconds, cost = _billed_seconds(described), _billed(job, described)
        writes = self._credits.settle(job.organization_id, job.held_cents, cost, job.id)
        if seconds:
            use = self._usage.training(job.organization_id, job.base_model, billed_seconds=seconds, cost=cost)
            writes.append(use)
        return writes

    def _settled(self, job: Job, described: dict[str, Any] | None, error: dict[str, Any] | None) -> tuple[Job, Event]:
        model = self._models.of_job(job)
        cost = job.cost | {"accrued": round(job.cost["accrued"] + _billed(job, described), 4)}
        ended = self._ended(job) if described else None
        capped = (ended == "max_cost" and cost["cap"] is not None) or (
            cost["cap"] is not None and cost["accrued"] >= cost["cap"]
        )
        end = outcome.ending(job, described, error, registered=model is not None, capped=capped)
        reason = end.reason
        if reason and (described or {}).get("TrainingJobStatus") == "Failed":
            reason = outcome.explained(reason, self._storage.failure(job))
        now = clock.iso(self._now())
        new = job.become(
            end.status,
            now,
            phase=None,
            held_cents=0,
            running_cost=0.0,
            finished_at=None if end.status == entity.PAUSED else now,
            status_reason=reason,
            ended=ended,
            result_model=model.name if model else job.result_model,
            trained_tokens=model.trained_tokens if model else job.trained_tokens,
            metrics=model.metrics if model else job.metrics,
            cost=cost,
            resumable=None if end.status == entity.COMPLETED else self._resumable(job),
        )
        return new, event(f"training.{end.status}", job.organization_id, now, outcome.facts(new))

    def _reached_cap(self, job: Job) -> bool:
        """Whether the container ended this attempt because the next step would have broken the cap."""
        return job.budget_left is not None and self._ended(job) == "max_cost"

    def _ended(self, job: Job) -> str | None:
        """How the container says that this attempt ended; None if it says nothing."""
        return (self._storage.result(job) or {}).get("ended")

    def _resumable(self, job: Job) -> dict[str, Any]:
        step = self._storage.last_checkpoint(job)
        if step is None:
            return {"value": False, "reason": "no checkpoint was saved", "from_checkpoint": None}
        return {"value": True, "reason": None, "from_checkpoint": step}

    def _get(self, step: Step) -> Job:
        job = self._store.get(step.organization_id, step.job_id)
        if job is None:
            raise NotFound(f"No fine-tuning job {step.job_id!r}.")
        return job

    def _current(self, step: Step, *, stopping_too: bool = False) -> Job:
        """The job, if this attempt is still wanted."""
        job = self._get(step)
        wanted = job.is_live and job.attempt == step.attempt
        if not wanted or (job.status in entity.ENDING and not stopping_too):
            raise Conflict(f"Attempt {step.attempt} of {job.id} is no longer wanted.", code="stopped")
        return job

    def _change(self, step: Step, change: Callable[[Job, str], Job]) -> Job:
        def changed() -> Job:
            old = self._current(step)
            new = change(old, clock.iso(self._now()))
            if new is not old:
                self._store.save(old, new)
            return new

        return table.until_unchanged(step.job_id, changed)


def _billed(job: Job, described: dict[str, Any] | None) -> float:
    """What the attempt's training job costs: billed seconds at the price of the instance type that ran it."""
    if not described:
        return 0.0
    price = catalog.find_hardware(job.hardware).price_of(described["ResourceConfig"]["InstanceType"])
    return _billed_seconds(described) * price / 3600


def _billed_seconds(described: dict[str, Any] | None) -> int:
    return (described or {}).get("BillableTimeInSeconds", 0)


def _volume_gb(job: Job) -> int:
    """Room for the weights, the exports, and two checkpoints: adapters are small, full weights carry AdamW's state."""
    weights = 2 * catalog.find_base_model(job.base_model).parameters / 10**9
    copies = 1 + sum(_EXPORT_COPIES.get(kind, 1) for kind in job.exports)
    if job.hyperparameters.get("adapter") == "full":
        copies += _CHECKPOINT_COPIES
    return _VOLUME_GB + int(weights * copies)


def _wait_for_capacity(job: Job, now: str) -> Job:
    reason = {
        "code": "no_capacity",
        "message": "AWS has no instance of this kind free, or the account's quota is used up. The job waits for one.",
        "hint": "Raise the SageMaker training quota of the instance type, or create the job with other hardware.",
    }
    changes = {"status_reason": reason, "phase": None}
    return job.note(now, **changes) if job.status == entity.QUEUED else job.become(entity.QUEUED, now, **changes)
