"""The one place that puts services together. Everything is made on first use and kept for the process."""

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from luthier.settings import Settings

if TYPE_CHECKING:
    from luthier.accounts.entity import Limits
    from luthier.accounts.limits import RateLimiter
    from luthier.accounts.service import AccountService
    from luthier.audit.service import AuditService
    from luthier.catalog.calibration import Calibration
    from luthier.catalog.staging import BaseModelStaging
    from luthier.credits.service import CreditService
    from luthier.datasets.service import DatasetService
    from luthier.datasets.store import DatasetStore
    from luthier.events.outbox import Publisher
    from luthier.jobs.manifest import Reruns
    from luthier.jobs.pipeline import TrainingPipeline
    from luthier.jobs.runs import Runs
    from luthier.jobs.service import JobService
    from luthier.jobs.storage import JobStorage
    from luthier.jobs.store import JobStore
    from luthier.jobs.watch import JobWatcher
    from luthier.models.service import ModelService
    from luthier.models.store import ModelStore
    from luthier.usage.service import UsageService
    from luthier.webhooks.address import Destinations
    from luthier.webhooks.courier import Courier
    from luthier.webhooks.fan_out import FanOut
    from luthier.webhooks.queues import DeliveryQueues
    from luthier.webhooks.sender import Sender
    from luthier.webhooks.service import WebhookService
    from luthier.webhooks.store import WebhookStore


# A request must not wait for a slow service longer than API Gateway waits for us; SDK retries add to each timeout.
_CONNECT_SECONDS, _READ_SECONDS, _ATTEMPTS = 3, 20, 3


@cache
def settings() -> Settings:
    return Settings.load(os.environ)


class _OnFirstUse:
    """An AWS client that is made when it is first used: a cold start pays only for the services of its request."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(_client(self._service), name)


@cache
def client(service: str) -> Any:
    """The low-level client of an AWS service, with our timeouts."""
    return _OnFirstUse(service)


@cache
def _client(service: str) -> Any:
    import boto3
    from botocore.config import Config

    inference = service == "sagemaker-runtime"
    config = Config(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=settings().inference_seconds if inference else _READ_SECONDS,
        # A model that is silent is not asked twice: that would take twice as long, and cost twice.
        retries={"mode": "standard", "total_max_attempts": 1 if inference else _ATTEMPTS},
        # boto3 still presigns with version 2 in some regions, which binds neither size nor headers of an upload and
        # which KMS-encrypted buckets refuse.
        signature_version="s3v4" if service == "s3" else None,
    )
    return boto3.client(service, config=config)


@cache
def accounts() -> "AccountService":
    from luthier.accounts.guesses import Guesses
    from luthier.accounts.service import AccountService
    from luthier.accounts.store import KeyStore

    dynamodb, name = client("dynamodb"), settings().table
    return AccountService(KeyStore(dynamodb, name), limits=_limits(), guesses=Guesses(dynamodb, name))


def _limits() -> "Limits":
    from luthier.accounts.entity import Limits

    return Limits(**{name: getattr(settings(), name) for name in Limits.__dataclass_fields__})


@cache
def rate_limiter() -> "RateLimiter":
    from luthier.accounts.limits import RateLimiter

    return RateLimiter(client("dynamodb"), settings().table)


@cache
def credits() -> "CreditService":
    from luthier.credits.service import CreditService
    from luthier.credits.store import CreditStore

    return CreditService(CreditStore(client("dynamodb"), settings().table), billing=settings().billing == "on")


@cache
def usage() -> "UsageService":
    from luthier.usage.service import UsageService
    from luthier.usage.store import UsageStore

    price = settings().inference_cents_per_1000_tokens
    return UsageService(UsageStore(client("dynamodb"), settings().table), credits(), price=price)


@cache
def audit() -> "AuditService":
    from luthier.audit.service import AuditService
    from luthier.audit.store import AuditStore

    return AuditService(AuditStore(client("dynamodb"), settings().table), days=settings().audit_days)


@cache
def _dataset_store() -> "DatasetStore":
    from luthier.datasets.store import DatasetStore

    return DatasetStore(client("dynamodb"), settings().table)


@cache
def datasets() -> "DatasetService":
    from luthier.datasets.service import DatasetService

    return DatasetService(_dataset_store(), client("s3"), settings())


@cache
def _model_store() -> "ModelStore":
    from luthier.models.store import ModelStore

    return ModelStore(client("dynamodb"), settings().table)


@cache
def models() -> "ModelService":
    from luthier.models.service import ModelService

    return ModelService(_model_store(), _job_store())


@cache
def _job_store() -> "JobStore":
    from luthier.jobs.store import JobStore

    return JobStore(client("dynamodb"), settings().table)


@cache
def _job_storage() -> "JobStorage":
    from luthier.jobs.storage import JobStorage

    return JobStorage(client("s3"), settings())


@cache
def _runs() -> "Runs":
    from luthier.executions import Executions
    from luthier.jobs.runs import Runs

    machine = Executions(client("stepfunctions"), settings().training_state_machine_arn)
    return Runs(machine, client("sagemaker"))


@cache
def _calibration() -> "Calibration":
    from luthier.catalog.calibration import Calibration

    return Calibration(client("dynamodb"), settings().table)


@cache
def jobs() -> "JobService":
    from luthier.catalog.gate import HubGate
    from luthier.idempotency import Claims
    from luthier.jobs.draft import JobDrafts
    from luthier.jobs.logs import JobLogs
    from luthier.jobs.service import JobService

    claims = Claims(client("dynamodb"), settings().table)
    logs = JobLogs(client("logs"))
    gate = HubGate(client("s3"), lambda: client("secretsmanager"), settings())
    drafts = JobDrafts(datasets(), models(), serving._alias_store(), _calibration(), gate, destinations())
    return JobService(_job_store(), drafts, _runs(), training_pipeline(), _job_storage(), logs, claims, credits())


@cache
def reruns() -> "Reruns":
    from luthier.jobs.manifest import Reruns, Signer

    return Reruns(jobs(), Signer(client("kms"), settings().manifest_key_id))


@cache
def training_pipeline() -> "TrainingPipeline":
    from luthier.jobs.pipeline import TrainingPipeline

    return TrainingPipeline(
        _job_store(), datasets(), _job_storage(), models(), _runs(), _calibration(), credits(), usage()
    )


@cache
def job_watcher() -> "JobWatcher":
    from luthier.jobs.watch import JobWatcher

    return JobWatcher(_job_store(), _job_storage(), _runs(), training_pipeline())


@cache
def base_model_staging() -> "BaseModelStaging":
    from luthier.catalog.staging import BaseModelStaging

    return BaseModelStaging(client("dynamodb"), client("s3"), client("sagemaker"), settings())


@cache
def publisher() -> "Publisher":
    from luthier.events.outbox import Publisher

    return Publisher(client("events"), settings().event_bus, client("dynamodb"), settings().table)


@cache
def destinations() -> "Destinations":
    from luthier.webhooks.address import Destinations

    return Destinations(settings().webhook_private_networks)


@cache
def _webhook_store() -> "WebhookStore":
    from luthier.webhooks.store import WebhookStore

    return WebhookStore(client("dynamodb"), settings().table)


@cache
def _delivery_queues() -> "DeliveryQueues":
    from luthier.webhooks.queues import DeliveryQueues

    known = settings()
    quick, slow, dead = known.webhook_queue_url, known.slow_webhook_queue_url, known.webhook_dead_letters_url
    return DeliveryQueues(client("sqs"), quick=quick, slow=slow, dead=dead)


@cache
def _sender() -> "Sender":
    from luthier.webhooks.sender import Sender

    return Sender(destinations())


@cache
def webhooks() -> "WebhookService":
    from luthier.webhooks.service import WebhookService

    return WebhookService(_webhook_store(), _delivery_queues(), _sender(), destinations())


@cache
def fan_out() -> "FanOut":
    from luthier.webhooks.fan_out import FanOut

    return FanOut(_webhook_store(), _delivery_queues())


@cache
def courier() -> "Courier":
    from luthier.webhooks.courier import Courier

    return Courier(_webhook_store(), _delivery_queues(), _sender())


# At the end: what it holds is made of what stands above.
from luthier.wiring import batching, registry, serving, uploading  # noqa: E402

aliases = serving.aliases
batch_worker = batching.batch_worker
batches = batching.batches
comparisons = serving.comparisons
deployment_pipeline = serving.deployment_pipeline
deployments = serving.deployments
downloads = serving.downloads
evaluations = serving.evaluations
file_sweeper = uploading.file_sweeper
health = batching.health
inference = serving.inference
model_imports = registry.model_imports
model_listing = registry.model_listing
model_versions = registry.model_versions
processing_pipeline = serving.processing_pipeline
previews = serving.previews
processings = serving.processings
repairs = uploading.repairs
retention = registry.retention
sharing = registry.sharing
uploads = uploading.uploads


def reset() -> None:
    """Forget everything made so far: tests call it between environments."""
    for module in (globals(), *map(vars, (batching, registry, serving, uploading))):
        for made in [*module.values()]:
            if hasattr(made, "cache_clear"):
                made.cache_clear()
