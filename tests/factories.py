"""Things that tests need many of: a platform on an in-process AWS, principals, datasets, jobs."""

import json
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import boto3

from luthier import table
from luthier.accounts.entity import UNLIMITED, Limits, Principal
from luthier.aliases.service import AliasService
from luthier.aliases.store import AliasStore
from luthier.audit.service import AuditService
from luthier.audit.store import AuditStore
from luthier.catalog import service as catalog
from luthier.catalog.calibration import Calibration
from luthier.catalog.gate import HubGate
from luthier.catalog.staging import BaseModelStaging
from luthier.credits.service import CreditService
from luthier.credits.store import CreditStore
from luthier.datasets.entity import Dataset
from luthier.datasets.service import DatasetService
from luthier.datasets.store import DatasetStore
from luthier.deployments.drafts import Drafts
from luthier.deployments.endpoints import Endpoints
from luthier.deployments.entity import Deployment
from luthier.deployments.history import History
from luthier.deployments.hosts import Hosts, HostStore
from luthier.deployments.pipeline import DeploymentPipeline
from luthier.deployments.placement import Placement
from luthier.deployments.probe import Probe
from luthier.deployments.proving import Prover
from luthier.deployments.scaling import Scaling
from luthier.deployments.service import DeploymentService
from luthier.deployments.store import DeploymentStore
from luthier.downloads.service import DownloadService
from luthier.downloads.store import DownloadStore
from luthier.executions import Executions
from luthier.idempotency import Claims
from luthier.imports.service import ImportService
from luthier.imports.sources import ImportSources
from luthier.imports.store import ImportStore
from luthier.inference.invoke import Invoker
from luthier.inference.service import InferenceService
from luthier.jobs.checkpoints import Checkpoints
from luthier.jobs.draft import JobDrafts
from luthier.jobs.entity import Job, JobRequest, Step
from luthier.jobs.logs import JobLogs
from luthier.jobs.pipeline import TrainingPipeline
from luthier.jobs.runs import Runs
from luthier.jobs.service import JobService
from luthier.jobs.sharing import PermissionStore, SharingService
from luthier.jobs.storage import JobStorage
from luthier.jobs.store import JobStore
from luthier.jobs.watch import JobWatcher
from luthier.models.entity import Model
from luthier.models.listing import ModelListing
from luthier.models.remains import RemainsStore
from luthier.models.retention import RetentionService
from luthier.models.service import ModelService
from luthier.models.store import ModelStore
from luthier.models.versions import VersionService
from luthier.processing.benchmarks import Benchmarks
from luthier.processing.comparing import ComparisonService
from luthier.processing.evaluations import EvaluationService
from luthier.processing.pipeline import ProcessingPipeline
from luthier.processing.plan import Workshop
from luthier.processing.removal import ProcessingRemoval
from luthier.processing.service import ProcessingService
from luthier.processing.store import ProcessingStore
from luthier.settings import Settings
from luthier.usage.service import UsageService
from luthier.usage.store import UsageStore
from luthier.webhooks.address import Destinations
from tests import tables
from tests.deployment_machine import MODEL_URI, DeploymentMachine, FakeProbe
from tests.fake_endpoints import FakeAlarms, FakeAutoScaling
from tests.fakes import (
    FakeEndpointRuntime,
    FakeQueues,
    FakeSageMaker,
    FakeStates,
    answer_items_as_they_are,
    copy_only_what_transactions_touch,
    one_call_at_a_time,
    with_dynamodbs_key_sizes,
)

SETTINGS = Settings(
    table="luthier",
    data_bucket="luthier-data",
    base_models_bucket="luthier-base-models",
    artifacts_bucket="luthier-artifacts",
    event_bus="luthier",
    # Nobody listens there: a hub that cannot be reached.
    hub_url="http://127.0.0.1:9",
    training_state_machine_arn="arn:aws:states:us-east-1:123456789012:stateMachine:training",
    deployment_state_machine_arn="arn:aws:states:us-east-1:123456789012:stateMachine:deployment",
    processing_state_machine_arn="arn:aws:states:us-east-1:123456789012:stateMachine:processing",
    serving_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/djl-inference:1",
    serving_role_arn="arn:aws:iam::123456789012:role/serving",
    batch_queue_url="batches",
    manifest_key_id="alias/manifests",
)
BASE_MODEL = "smollm2-135m-instruct"


def principal(organization_id: str = "org_a", user_id: str = "user_1", limits: Limits = UNLIMITED) -> Principal:
    return Principal(organization_id, user_id, f"key_{user_id}", ("admin",), limits)


def rows(count: int = 3) -> bytes:
    """A valid training file of `count` conversations."""
    return b"".join(
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"question {i}"},
                    {"role": "assistant", "content": f"answer {i}"},
                ]
            }
        ).encode()
        + b"\n"
        for i in range(count)
    )


def metrics_line(step: int, **values: Any) -> dict[str, Any]:
    known = {"phase": "training", "step": step, "total_steps": 10, "epoch": step / 5, "total_epochs": 2}
    return known | {"training_loss": 2.0 / step, "trained_tokens": 100 * step, "seconds_remaining": 10 - step} | values


CARD = {
    "metrics": {"training_loss": 0.2, "validation_loss": None, "epoch": 2},
    "trained_tokens": 1000,
    "seconds": 10,
    "parameters": 135_000_000,
    "trainable_parameters": 900_000,
    "serving": {"kind": "adapter", "path": "."},
    "files": [
        {"path": "adapter_config.json", "size": 700, "sha256": "0" * 64},
        {"path": "adapter_model.safetensors", "size": 3_000_000, "sha256": "0" * 64},
    ],
}


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, **span: float) -> None:
        self.moment += timedelta(**span)


class Platform:
    """Every service, wired as `luthier.wiring` does it, on moto. Use it inside `moto.mock_aws()`."""

    def __init__(self, settings: Settings = SETTINGS) -> None:
        copy_only_what_transactions_touch()
        answer_items_as_they_are()
        self.settings, self.clock = settings, Clock()
        self.dynamodb = with_dynamodbs_key_sizes(one_call_at_a_time(boto3.client("dynamodb")))
        self.s3 = boto3.client("s3")
        self.logs, self.kms = boto3.client("logs"), boto3.client("kms")
        self.states, self.sagemaker = FakeStates(), FakeSageMaker()
        self.autoscaling, self.alarms = FakeAutoScaling(), FakeAlarms()
        self.queues = FakeQueues(self.clock)
        tables.create(self.dynamodb, SETTINGS.table)
        for bucket in (SETTINGS.data_bucket, SETTINGS.base_models_bucket, SETTINGS.artifacts_bucket):
            self.s3.create_bucket(Bucket=bucket)
        self._wire(settings)

    def _wire(self, settings: Settings) -> None:
        name = settings.table
        self.datasets = DatasetService(DatasetStore(self.dynamodb, name), self.s3, settings)
        self.job_store = JobStore(self.dynamodb, name)
        self.alias_store = AliasStore(self.dynamodb, name)
        self.storage = JobStorage(self.s3, SETTINGS)
        self.model_store = ModelStore(self.dynamodb, name)
        self.models = ModelService(self.model_store, self.job_store, self.clock)
        self.runs = Runs(Executions(self.states, SETTINGS.training_state_machine_arn), self.sagemaker)
        self.calibration = Calibration(self.dynamodb, name)
        claims = Claims(self.dynamodb, name, self.clock)
        self.credits = CreditService(CreditStore(self.dynamodb, name), billing=settings.billing == "on", now=self.clock)
        price = settings.inference_cents_per_1000_tokens
        self.usage = UsageService(UsageStore(self.dynamodb, name), self.credits, price=price, now=self.clock)
        self.audit = AuditService(AuditStore(self.dynamodb, name), days=settings.audit_days, now=self.clock)
        self.pipeline = TrainingPipeline(
            self.job_store,
            self.datasets,
            self.storage,
            self.models,
            self.runs,
            self.calibration,
            self.credits,
            self.usage,
            self.clock,
        )
        gate = HubGate(self.s3, lambda: boto3.client("secretsmanager"), settings)
        networks, stores = Destinations(settings.webhook_private_networks), (self.models, self.alias_store)
        drafts = JobDrafts(self.datasets, *stores, self.calibration, gate, networks, self.clock)
        self.jobs = JobService(
            self.job_store,
            drafts,
            self.runs,
            self.pipeline,
            self.storage,
            JobLogs(self.logs),
            claims,
            self.credits,
            self.clock,
        )
        self.runtime = FakeEndpointRuntime()
        self.invoker = invoker = Invoker(self.runtime)
        self.probe = FakeProbe(Probe(invoker))
        self._wire_deployments(settings, self.model_store)
        self.aliases = AliasService(self.alias_store, self.deployments, self.clock, Random(7))
        self.inference = InferenceService(
            self.deployments, self.aliases, self.model_store, invoker, self.usage, self.clock
        )
        self.staging = BaseModelStaging(self.dynamodb, self.s3, self.sagemaker, SETTINGS, self.clock)
        self.watcher = JobWatcher(self.job_store, self.storage, self.runs, self.pipeline, self.clock)
        self._wire_processing(settings)
        self._wire_registry(claims)
        sources = ImportSources(self.s3, settings)
        checkpoints = Checkpoints(self.job_store, self.storage, self.models)
        self.sharing = SharingService(PermissionStore(self.dynamodb, name), checkpoints, self.clock)
        self.imports = ImportService(
            ImportStore(self.dynamodb, name),
            sources,
            self.sharing,
            self.models,
            self.processings,
            claims,
            self.clock,
        )

    def _wire_registry(self, claims: Claims) -> None:
        store, name = self.model_store, self.settings.table
        self.listing = ModelListing(self.models, store, self.job_store)
        self.versions = VersionService(self.models, store, self.job_store, claims, self.clock)
        remains, aliases = RemainsStore(self.dynamodb, name, store), self.alias_store
        processings = ProcessingRemoval(ProcessingStore(self.dynamodb, name), self.s3, SETTINGS.artifacts_bucket)
        self.retention = RetentionService(
            self.models, store, remains, self.job_store, aliases, processings, self.s3, self.clock
        )

    def _wire_processing(self, settings: Settings) -> None:
        store = ProcessingStore(self.dynamodb, settings.table)
        machine = Executions(self.states, SETTINGS.processing_state_machine_arn)
        self.processings = ProcessingService(store, machine, self.credits, self.clock)
        benchmarks = Benchmarks(self.s3, self.datasets, SETTINGS)
        self.evaluations = EvaluationService(self.processings, self.models, benchmarks)
        self.comparisons = ComparisonService(self.evaluations)
        tokens = DownloadStore(self.dynamodb, settings.table)
        self.downloads = DownloadService(tokens, self.models, self.processings, self.s3, self.clock)
        workshop = Workshop(self.s3, SETTINGS, self.datasets, self.models, self.model_store)
        self.processing_pipeline = ProcessingPipeline(store, machine, self.sagemaker, workshop, self.usage, self.clock)

    def _wire_deployments(self, settings: Settings, models: ModelStore) -> None:
        name = settings.table
        self.host_store = HostStore(self.dynamodb, name)
        self.deployment_store = store = DeploymentStore(self.dynamodb, name, models, self.host_store)
        machine = Executions(self.states, SETTINGS.deployment_state_machine_arn)
        endpoints, scaling = Endpoints(self.sagemaker, settings), Scaling(self.autoscaling, self.alarms)
        self.history = History(self.dynamodb, name)
        self.drafts = Drafts(self.models, self.host_store, self.history, self.clock)
        self.deployments = DeploymentService(
            store, self.drafts, self.jobs, machine, endpoints, self.host_store, self.alias_store, self.clock
        )
        idle = settings.host_idle_minutes
        hosts = Hosts(self.host_store, endpoints, scaling, idle_minutes=idle, now=self.clock)
        self.deployment_pipeline = DeploymentPipeline(
            store,
            self.job_store,
            Placement(store, self.host_store, hosts, endpoints, scaling, self.clock),
            hosts,
            machine,
            self.history,
            proof=Prover(self.s3, self.invoker, self.probe),
            probe=self.probe,
            now=self.clock,
        )

    def dataset(self, who: Principal | None = None, content: bytes | None = None) -> Dataset:
        return self.datasets.upload(
            who or principal(), filename="tickets.jsonl", purpose="fine-tune", content=content or rows()
        )

    def job(self, who: Principal | None = None, *, idempotency_key: str | None = None, **request: Any) -> Job:
        who = who or principal()
        if "training_dataset" not in request:
            request["training_dataset"] = self.dataset(who).id
        wanted = JobRequest(**{"name": "Tickets", "base_model": BASE_MODEL} | request)
        return self.jobs.create(who, wanted, idempotency_key=idempotency_key)

    def step(self, job: Job) -> Step:
        return Step(job.organization_id, job.id, job.attempt)

    def launched(self, who: Principal | None = None, **request: Any) -> Job:
        """A job whose training job has just been created."""
        return self.launch(self.job(who, **request))

    def launch(self, job: Job) -> Job:
        """Take a queued job to where its training job has just been created."""
        self.pipeline.prepare_dataset(self.step(job))
        self.pipeline.plan_launch(self.step(job), model_uri=MODEL_URI, max_runtime_seconds=7200)
        job = self.fresh(job)
        self.training_job(job, "InProgress", "Training")
        return job

    def training_job(self, job: Job, status: str, secondary: str | None = None, **more: Any) -> dict[str, Any]:
        """SageMaker's description of the job's training job, from now on."""
        name = job.training_job_name or ""
        described = {
            "TrainingJobName": name,
            "TrainingJobStatus": status,
            "SecondaryStatus": secondary or status,
            "HyperParameters": {
                "job_config": f"s3://luthier-data/{job.organization_id}/jobs/{job.id}/1/config/job.json"
            },
            "ResourceConfig": {"InstanceType": catalog.find_hardware(job.hardware).instance_types[0]},
            "ModelArtifacts": {"S3ModelArtifacts": f"s3://luthier-artifacts/{job.organization_id}/jobs/{job.id}/m"},
        }
        self.sagemaker.jobs[name] = described | more
        return self.sagemaker.jobs[name]

    def completed(self, who: Principal | None = None, **request: Any) -> Job:
        """A job that has yielded a model."""
        return self.complete(self.launched(who, **request))

    def complete(self, job: Job, **card: Any) -> Job:
        """End a launched job well; `card`: what its model card says otherwise."""
        self.training_job(job, "Completed", BillableTimeInSeconds=3600)
        self.put_artifact(f"{job.organization_id}/jobs/{job.id}/m/model_card.json", json.dumps(CARD | card))
        self.pipeline.register_model(self.step(job))
        return self.pipeline.settle(self.step(job))

    def failed(self, who: Principal | None = None, **request: Any) -> Job:
        job = self.launched(who, **request)
        self.training_job(job, "Failed", FailureReason='AlgorithmError: {"code": "oom", "message": "m", "hint": "h"}')
        return self.pipeline.settle(self.step(job))

    def deployed(self, who: Principal, name: str) -> Deployment:
        """A deployment of the model called `name` that has answered its probe."""
        return self.run_deployment(self.deployments.deploy_model(who, name))

    def run_deployment(self, made: Deployment) -> Deployment:
        """Play the state machine of a deployment's run to its end; its last state, as it was where it is deleted."""
        machine = DeploymentMachine(self.deployment_pipeline, made)
        for _ in range(100):
            if machine.step():
                break
        else:
            raise AssertionError("The run does not end.")
        self.states.statuses[made.execution_name] = "SUCCEEDED"
        return self.deployment_store.get(made.organization_id, made.id) or made

    def set_model(self, model: Model, **fields: str) -> None:
        """Change a model's record as nothing in the platform may."""
        for name, value in fields.items():
            self.dynamodb.update_item(
                TableName=SETTINGS.table,
                Key=table.encode(table.key(model.organization_id, table.model(model.id))),
                UpdateExpression="SET #n = :v",
                ExpressionAttributeNames={"#n": name},
                ExpressionAttributeValues={":v": {"S": value}},
            )

    def put_artifact(self, key: str, content: str) -> None:
        self.s3.put_object(Bucket=SETTINGS.artifacts_bucket, Key=key, Body=content.encode())

    def write_metrics(self, job: Job, *lines: dict[str, Any]) -> str:
        key = f"{job.organization_id}/jobs/{job.id}/checkpoints/{job.series}/metrics.jsonl"
        self.put_artifact(key, "".join(json.dumps(line) + "\n" for line in lines))
        return key

    def fresh(self, job: Job) -> Job:
        return self.fresh_by_id(job.id, job.organization_id)

    def fresh_by_id(self, job_id: str, organization_id: str = "org_a") -> Job:
        found = self.job_store.get(organization_id, job_id)
        assert found is not None
        return found

    def events(self, organization_id: str = "org_a") -> list[str]:
        """The names of the events in the outbox, oldest first, without those about files."""
        found = table.query(
            self.dynamodb,
            TableName=SETTINGS.table,
            KeyConditionExpression="pk = :p AND begins_with(sk, :e)",
            ExpressionAttributeValues={":p": {"S": f"ORG#{organization_id}"}, ":e": {"S": "EVENT#"}},
        )
        return [item["type"] for item in found if not item["type"].startswith("dataset.")]
