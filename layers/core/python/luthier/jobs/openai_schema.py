"""Wire shapes of OpenAI's fine-tuning contract: `openai.types.fine_tuning` is the last word on them.

Times are in Unix seconds. What OpenAI has no key for comes as extra keys: `phase`, `progress`, `status_reason`, `cost`,
`resumable`, `training_files`, `invalid_sample_skip_percentage`.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError, ValidationError

from luthier import clock
from luthier.errors import InvalidRequest
from luthier.jobs import entity
from luthier.jobs.entity import Job, JobRequest
from luthier.jobs.hyperparameters import AUTO
from luthier.jobs.schema import CAP, LEAST_COST, MOST_COST
from luthier.models.entity import public_names
from luthier.wire import LONGEST_NAME, Answer, Request

_STATUSES = {
    entity.QUEUED: "queued",
    entity.PREPARING: "validating_files",
    entity.RUNNING: "running",
    # Clients that are strict know no status for a rest; `status_reason` says why it does not go on.
    entity.PAUSING: "running",
    entity.PAUSED: "queued",
    entity.COMPLETED: "succeeded",
    entity.FAILED: "failed",
    entity.STOPPING: "cancelled",
    entity.STOPPED: "cancelled",
}
_METHODS = {"supervised": "sft", "dpo": "dpo"}
_NAMES = {method: name for name, method in _METHODS.items()}


def _or_auto(rule: str) -> WrapValidator:
    """`auto` or what the type allows, refused in one sentence in place of one for each."""

    def checked(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("rule", "Input should be auto or {rule}", {"rule": rule}) from None

    return WrapValidator(checked)


_Auto = Literal["auto"]
_Epochs = Annotated[Annotated[int, Field(ge=1, le=100)] | _Auto | None, _or_auto("an integer from 1 to 100")]
_BatchSize = Annotated[Annotated[int, Field(ge=1, le=1024)] | _Auto | None, _or_auto("an integer from 1 to 1024")]
_Multiplier = Annotated[
    Annotated[float, Field(ge=0.001, le=1_000)] | _Auto | None, _or_auto("a number from 0.001 to 1000")
]
_Beta = Annotated[Annotated[float, Field(ge=0.001, le=10)] | _Auto | None, _or_auto("a number from 0.001 to 10")]
_Key = Annotated[str, StringConstraints(max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=512)]
Metadata = Annotated[dict[_Key, _Value], Field(max_length=16)]


class SupervisedHyperparameters(Request):
    n_epochs: _Epochs = None
    batch_size: _BatchSize = None
    learning_rate_multiplier: _Multiplier = Field(
        default=None, description="Of the learning rate that auto stands for, which depends on method and model."
    )


class DpoHyperparameters(SupervisedHyperparameters):
    beta: _Beta = None


class Supervised(Request):
    hyperparameters: SupervisedHyperparameters | None = None


class Dpo(Request):
    hyperparameters: DpoHyperparameters | None = None


class Method(Request):
    type: Literal["supervised", "dpo"] = Field(description="reinforcement is not supported.")
    supervised: Supervised | None = None
    dpo: Dpo | None = None


class TrainingFile(Request):
    file_id: str = Field(min_length=1, max_length=LONGEST_NAME)
    weight: float = Field(
        default=1.0, gt=0, le=100, description="How often each of its rows is trained on; 0.5: half of them, once."
    )


class WandbRun(Request):
    project: str = Field(min_length=1, max_length=128)
    name: str | None = Field(default=None, max_length=128)
    entity: str | None = Field(default=None, max_length=128)
    tags: list[Annotated[str, StringConstraints(min_length=1, max_length=64)]] | None = Field(
        default=None, max_length=50
    )


class Integration(Request):
    """Training has no network, so the run leaves an offline run among `result_files`, for `wandb sync`."""

    type: Literal["wandb"]
    wandb: WandbRun


class Cap(Request):
    cap: float | None = Field(default=None, ge=LEAST_COST, le=MOST_COST, description=CAP)


class CreateFineTuningJob(Request):
    model: str = Field(min_length=1, max_length=LONGEST_NAME, description="A base model, or your own finished model.")
    training_file: str | None = Field(
        default=None, min_length=1, max_length=LONGEST_NAME, description="Id of a file; or else training_files."
    )
    training_files: list[TrainingFile] | None = Field(
        default=None, min_length=1, max_length=20, description="Beyond OpenAI's contract: several files with weights."
    )
    invalid_sample_skip_percentage: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Beyond OpenAI's contract, as Mistral's: what share of a file's lines may be bad and is skipped.",
    )
    validation_file: str | None = Field(default=None, min_length=1, max_length=LONGEST_NAME)
    method: Method | None = None
    hyperparameters: SupervisedHyperparameters | None = Field(default=None, description="The older place of method's.")
    suffix: str | None = Field(default=None, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int | None = Field(default=None, ge=0, le=2**31 - 1)
    metadata: Metadata | None = None
    integrations: list[Integration] | None = Field(default=None, max_length=1)
    cost: Cap | None = Field(default=None, description="Beyond OpenAI's contract: what the job may cost.")
    auto_start: bool = Field(
        default=True, description="Beyond OpenAI's contract. false: check and price it, and wait for POST …/start."
    )

    def request(self) -> JobRequest:
        """The job that is asked for. Raises InvalidRequest for hyperparameters of another method than the one named."""
        if (self.training_file is None) == (self.training_files is None):
            raise InvalidRequest(
                "Exactly one of training_file and training_files must be given.",
                param="training_file",
                remedy="Send the id of a file, or several with weights.",
            )
        first, *more = self.training_files or [TrainingFile(file_id=self.training_file or "")]
        kind = self.method.type if self.method else "supervised"
        asked = self._hyperparameters(kind)
        wire: dict[str, Any] = {
            "epochs": asked.n_epochs or AUTO,
            "batchSize": asked.batch_size or AUTO,
            "learningRate": AUTO,
            "seed": self.seed,
        }
        if isinstance(asked, DpoHyperparameters) and isinstance(asked.beta, float | int):
            wire["beta"] = asked.beta
        multiplier = asked.learning_rate_multiplier
        return JobRequest(
            name=f"Fine-tune of {self.model}"[:200],
            base_model=self.model,
            training_dataset=first.file_id,
            training_weight=first.weight,
            more_training=[(file.file_id, file.weight) for file in more],
            invalid_share=self.invalid_sample_skip_percentage,
            validation_file=self.validation_file,
            hyperparameters=wire,
            suffix=self.suffix,
            method=_METHODS[kind],
            max_cost=self.cost.cap if self.cost else None,
            learning_rate_multiplier=None if isinstance(multiplier, str) else multiplier,
            metadata=self.metadata or {},
            wandb=_wandb(self.integrations[0].wandb) if self.integrations else None,
            auto_start=self.auto_start,
        )

    def _hyperparameters(self, kind: str) -> SupervisedHyperparameters:
        method = self.method
        other = {"supervised": "dpo", "dpo": "supervised"}[kind]
        if method and getattr(method, other):
            raise InvalidRequest(
                f"method.{other} is given, but method.type is {kind}.",
                param=f"method.{other}",
                remedy=f"Leave it out, or send it as method.{kind}.",
            )
        of_method = getattr(method, kind).hyperparameters if method and getattr(method, kind) else None
        if of_method and self.hyperparameters:
            raise InvalidRequest(
                f"hyperparameters are given beside method.{kind}.hyperparameters.",
                param="hyperparameters",
                remedy="Send those of the method alone.",
            )
        given: SupervisedHyperparameters = of_method or self.hyperparameters or SupervisedHyperparameters()
        return given


class ResumeJob(Request):
    """A cap may only be raised; it covers what the job has cost so far."""

    cost: Cap | None = Field(default=None, description="Beyond OpenAI's contract.")


class RetryJob(Request):
    apply_suggestion: bool = Field(
        default=False, description="Whether to change what the failure suggests; the job then begins anew."
    )


class RerunJob(Request):
    """What GET …/manifest has answered; both or neither."""

    manifest: dict[str, Any]
    signature: str = Field(min_length=1, max_length=200)

    @property
    def signed(self) -> tuple[dict[str, Any], str]:
        return self.manifest, self.signature


class SignedManifest(Answer):
    """`signature`: in base64, by the platform's own key."""

    object: Literal["fine_tuning.job.manifest"] = "fine_tuning.job.manifest"
    manifest: dict[str, Any]
    algorithm: Literal["HMAC_SHA_256"] = "HMAC_SHA_256"
    signature: str

    @classmethod
    def of(cls, manifest: dict[str, Any], signature: str) -> Self:
        return cls(manifest=manifest, signature=signature)


class JobError(Answer):
    code: str
    message: str
    param: str | None = None


class Estimated(Answer):
    """What the run is expected to take. seconds: billed, start-up included; tokens: over all epochs."""

    available: Literal[True] = True
    cost: float
    currency: str
    tokens: int
    seconds: int


class NotEstimated(Answer):
    available: Literal[False] = False
    reason: str


class JobObject(Answer):
    """OpenAI's fine_tuning.job. What rests is `queued`, and `status_reason.code` says why: paused_by_user,
    budget_reached, awaiting_start.
    """

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    error: JobError | None
    fine_tuned_model: str | None
    hyperparameters: dict[str, Any]
    model: str
    organization_id: str
    result_files: list[str]
    status: str
    trained_tokens: int | None
    training_file: str
    training_files: list[dict[str, Any]] | None
    invalid_sample_skip_percentage: float
    validation_file: str | None
    seed: int
    estimated_finish: int | None
    integrations: list[Any]
    method: dict[str, Any]
    metadata: dict[str, str] | None
    phase: str | None
    progress: dict[str, Any] | None
    status_reason: dict[str, Any] | None
    cost: dict[str, Any]
    estimate: Estimated | NotEstimated
    resumable: dict[str, Any] | None

    @classmethod
    def of(cls, job: Job) -> Self:
        reason, kind = job.status_reason, _NAMES.get(job.method, job.method)
        hyperparameters = _shown(job)
        names = ("organization_id", "trained_tokens", "phase", "progress", "status_reason", "resumable")
        return cls(
            **{name: getattr(job, name) for name in names},
            id=job.id,
            created_at=clock.epoch(job.created_at),
            finished_at=clock.epoch(job.finished_at) if job.finished_at else None,
            error=_error(reason) if job.status == entity.FAILED and reason else None,
            fine_tuned_model=fine_tuned_model(job),
            hyperparameters={name: value for name, value in hyperparameters.items() if name != "beta"},
            model=job.start_from["model"] if job.start_from else job.base_model,
            result_files=[file for file in (job.result_file, job.wandb_file) if file],
            status=_STATUSES[job.status],
            training_file=job.training_dataset,
            training_files=[{name: part[name] for name in ("file_id", "weight")} for part in job.mixture] or None,
            invalid_sample_skip_percentage=job.invalid_share,
            validation_file=job.validation_dataset,
            seed=job.hyperparameters["seed"],
            estimated_finish=_estimated_finish(job),
            integrations=[{"type": "wandb", "wandb": job.wandb}] if job.wandb else [],
            method={"type": kind, kind: {"hyperparameters": hyperparameters}},
            metadata=job.metadata or None,
            cost=job.cost_so_far,
            estimate=_estimate(job),
        )


def _wandb(run: WandbRun) -> dict[str, Any]:
    return run.model_dump() | {"tags": run.tags or []}


def _estimate(job: Job) -> Estimated | NotEstimated:
    if job.expected is None:
        return NotEstimated(reason="This job was made before estimates were kept.")
    cost, currency = job.cost["estimate"], job.cost["currency"]
    return Estimated(cost=cost, currency=currency, tokens=job.expected["tokens"], seconds=job.expected["seconds"])


def fine_tuned_model(job: Job) -> str | None:
    """The `ft:` name of what a completed job has yielded."""
    if job.result_model is None:
        return None
    return public_names(job.base_model, job.organization_id, job.suffix, job.id[-8:])[1]


def _shown(job: Job) -> dict[str, Any]:
    known = job.hyperparameters
    shown = {
        "n_epochs": known["epochs"],
        "batch_size": known["batch_size"],
        "learning_rate_multiplier": job.learning_rate_multiplier,
    }
    return shown | ({"beta": known["beta"]} if "beta" in known else {})


def _error(reason: dict[str, Any]) -> JobError:
    return JobError(code=reason["code"], message=f"{reason['message']} {reason.get('hint') or ''}".strip())


def _estimated_finish(job: Job) -> int | None:
    left = (job.progress or {}).get("seconds_remaining") if job.status == entity.RUNNING else None
    return None if left is None else clock.epoch(job.updated_at) + int(left)


class JobObjects(Answer):
    object: Literal["list"] = "list"
    data: list[JobObject]
    has_more: bool

    @classmethod
    def of(cls, jobs: Sequence[Job], has_more: bool) -> Self:
        return cls(data=[JobObject.of(job) for job in jobs], has_more=has_more)
