"""Every setting of the platform, in one typed table that is read once per process.

A function sees its settings as environment variables; `infra/catalog.py` decides which function gets which.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from luthier.accounts.entity import MOST_REQUESTS_PER_MINUTE


def _setting(sentence: str, default: str | int | float = "", *, chosen: bool = False) -> Any:
    """chosen: an operator may choose it at deploy time, as CDK context of the same name."""
    return field(default=default, metadata={"sentence": sentence, "chosen": chosen})


@dataclass(frozen=True)
class Settings:
    """One row per setting; the environment variable is `LUTHIER_` and the field's name in capitals."""

    table: str = _setting("Name of the DynamoDB table.")
    data_bucket: str = _setting("Bucket of uploads and of the data that each job trains on.")
    base_models_bucket: str = _setting("Bucket of staged base models.")
    artifacts_bucket: str = _setting("Bucket of checkpoints, metrics and finished models.")
    event_bus: str = _setting("Name of the EventBridge bus that carries Luthier's events.")
    training_state_machine_arn: str = _setting("State machine that runs one attempt of a job.")
    deployment_state_machine_arn: str = _setting("State machine that brings one deployment to its goal.")
    processing_state_machine_arn: str = _setting(
        "State machine that evaluates, packages or adopts one model, or previews a file."
    )
    serving_image: str = _setting("Container image that answers requests on SageMaker endpoints.")
    serving_role_arn: str = _setting("Role of SageMaker models and endpoints.")
    inference_seconds: int = _setting(
        "Seconds that a model may be silent before it counts as one that fails; less than API Gateway waits (29).", 27
    )
    host_idle_minutes: int = _setting(
        "Minutes that a shared endpoint is kept when no deployment is left on it.", 30, chosen=True
    )
    hub_url: str = _setting("Hub that base models are staged from.", "https://huggingface.co")
    hub_token_secret: str = _setting("Secrets Manager secret that holds the hub token; empty: no token.")
    key_requests_per_minute: int = _setting("Requests per minute that one key may send.", 600, chosen=True)
    organization_requests_per_minute: int = _setting(
        "Requests per minute that all keys of an organization may send together.", 1200, chosen=True
    )
    key_concurrent_jobs: int = _setting("Jobs that one key may have waiting or running.", 20, chosen=True)
    organization_concurrent_jobs: int = _setting(
        "Jobs that an organization may have waiting or running.", 50, chosen=True
    )
    organization_concurrent_processings: int = _setting(
        "Evaluations, packages and imports of an organization that may wait or run.", 20, chosen=True
    )
    organization_unfinished_batches: int = _setting(
        "Batches and asynchronous runs of an organization that may wait or run.", 1_000, chosen=True
    )
    billing: str = _setting("Whether work is paid from the organization's credits: on or off.", "off", chosen=True)
    inference_cents_per_1000_tokens: float = _setting(
        "Price of inference in cents per 1,000 tokens, prompt and answer together.", 0.0, chosen=True
    )
    hosted_inference: str = _setting("Whether the playground surface answers: on or off.", "on", chosen=True)
    audit_days: int = _setting("Days that the audit log is kept.", 400, chosen=True)
    webhook_private_networks: str = _setting(
        "Comma-separated networks that webhooks and dataset URLs may reach although they are not public; empty: none.",
        chosen=True,
    )
    dataset_buckets: str = _setting(
        "Comma-separated S3 buckets in which datasets and models may be named as s3:// addresses: NAME for every one, "
        "NAME=ORGANIZATION for one organization; empty: none.",
        chosen=True,
    )
    webhook_queue_url: str = _setting("Queue of webhook deliveries.")
    slow_webhook_queue_url: str = _setting("Queue of webhook deliveries to endpoints that answer slowly.")
    webhook_dead_letters_url: str = _setting("Queue of webhook deliveries that were given up.")
    manifest_key_id: str = _setting("KMS key that signs the manifests of jobs.")
    batch_queue_url: str = _setting("Queue of batches that wait for a worker.")

    def __post_init__(self) -> None:
        for name in ("billing", "hosted_inference"):
            if getattr(self, name) not in ("on", "off"):
                raise ValueError(f"{name} is {getattr(self, name)!r}; choose on or off.")
        for name in ("key_requests_per_minute", "organization_requests_per_minute"):
            if not 1 <= getattr(self, name) <= MOST_REQUESTS_PER_MINUTE:
                raise ValueError(f"{name} is {getattr(self, name)}; choose 1 to {MOST_REQUESTS_PER_MINUTE}.")
        if self.host_idle_minutes < 0:
            raise ValueError(f"host_idle_minutes is {self.host_idle_minutes}; it must not be negative.")
        readers_of_buckets(self.dataset_buckets)

    @staticmethod
    def environment_name(name: str) -> str:
        return f"LUTHIER_{name.upper()}"

    @classmethod
    def choices(cls) -> dict[str, Any]:
        """What an operator may choose at deploy time, with its default."""
        return {f.name: f.default for f in fields(cls) if f.metadata["chosen"]}

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> "Settings":
        """Settings of this process. A setting that a function is not given has its default, else stays empty.

        Raises ValueError, naming the setting, for a value that is none of its kind.
        """
        present = {f: environment.get(cls.environment_name(f.name)) for f in fields(cls)}
        return cls(**{f.name: _read(f.name, type(f.default), value) for f, value in present.items() if value})


def readers_of_buckets(listed: str) -> dict[str, set[str]]:
    """The buckets of the setting `dataset_buckets`, each with the organizations that may read it; "*" stands for all.

    Raises ValueError for an entry that names no bucket or, after a `=`, no organization.
    """
    readers: dict[str, set[str]] = {}
    for entry in filter(str.strip, listed.split(",")):
        bucket, bound, organization = (part.strip() for part in entry.partition("="))
        if not bucket or (bound and not organization):
            raise ValueError(f"dataset_buckets holds {entry.strip()!r}; write NAME or NAME=ORGANIZATION.")
        readers.setdefault(bucket, set()).add(organization or "*")
    return readers


def _read(name: str, kind: Any, text: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}; it must be a number.") from None
