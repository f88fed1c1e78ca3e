"""What serves and examines models: deployments, aliases, inference, processing. Part of `luthier.wiring`."""

from functools import cache
from typing import TYPE_CHECKING

from luthier import wiring

if TYPE_CHECKING:
    from luthier.aliases.service import AliasService
    from luthier.aliases.store import AliasStore
    from luthier.deployments.drafts import Drafts
    from luthier.deployments.endpoints import Endpoints
    from luthier.deployments.history import History
    from luthier.deployments.hosts import Hosts, HostStore
    from luthier.deployments.pipeline import DeploymentPipeline
    from luthier.deployments.placement import Placement
    from luthier.deployments.scaling import Scaling
    from luthier.deployments.service import DeploymentService
    from luthier.deployments.store import DeploymentStore
    from luthier.downloads.service import DownloadService
    from luthier.executions import Executions
    from luthier.inference.invoke import Invoker
    from luthier.inference.service import InferenceService
    from luthier.processing.comparing import ComparisonService
    from luthier.processing.evaluations import EvaluationService
    from luthier.processing.pipeline import ProcessingPipeline
    from luthier.processing.previews import PreviewService
    from luthier.processing.service import ProcessingService
    from luthier.processing.store import ProcessingStore


@cache
def _deployment_store() -> "DeploymentStore":
    from luthier.deployments.store import DeploymentStore

    return DeploymentStore(wiring.client("dynamodb"), wiring.settings().table, wiring._model_store(), _host_store())


@cache
def _host_store() -> "HostStore":
    from luthier.deployments.hosts import HostStore

    return HostStore(wiring.client("dynamodb"), wiring.settings().table)


@cache
def _hosts() -> "Hosts":
    from luthier.deployments.hosts import Hosts

    return Hosts(_host_store(), _endpoints(), _scaling(), idle_minutes=wiring.settings().host_idle_minutes)


@cache
def _history() -> "History":
    from luthier.deployments.history import History

    return History(wiring.client("dynamodb"), wiring.settings().table)


@cache
def _drafts() -> "Drafts":
    from luthier.deployments.drafts import Drafts

    return Drafts(wiring.models(), _host_store(), _history())


@cache
def _deployment_executions() -> "Executions":
    from luthier.executions import Executions

    return Executions(wiring.client("stepfunctions"), wiring.settings().deployment_state_machine_arn)


@cache
def _invoker() -> "Invoker":
    from luthier.inference.invoke import Invoker

    return Invoker(wiring.client("sagemaker-runtime"))


@cache
def deployments() -> "DeploymentService":
    from luthier.deployments.service import DeploymentService

    return DeploymentService(
        _deployment_store(),
        _drafts(),
        wiring.jobs(),
        _deployment_executions(),
        _endpoints(),
        _host_store(),
        _alias_store(),
    )


@cache
def _endpoints() -> "Endpoints":
    from luthier.deployments.endpoints import Endpoints

    return Endpoints(wiring.client("sagemaker"), wiring.settings())


@cache
def _scaling() -> "Scaling":
    from luthier.deployments.scaling import Scaling

    return Scaling(wiring.client("application-autoscaling"), wiring.client("cloudwatch"))


@cache
def _placement() -> "Placement":
    from luthier.deployments.placement import Placement

    return Placement(_deployment_store(), _host_store(), _hosts(), _endpoints(), _scaling())


@cache
def deployment_pipeline() -> "DeploymentPipeline":
    from luthier.deployments.pipeline import DeploymentPipeline
    from luthier.deployments.probe import Probe
    from luthier.deployments.proving import Prover

    probe = Probe(_invoker())
    return DeploymentPipeline(
        _deployment_store(),
        wiring._job_store(),
        _placement(),
        _hosts(),
        _deployment_executions(),
        _history(),
        proof=Prover(wiring.client("s3"), _invoker(), probe),
        probe=probe,
    )


@cache
def _processing_store() -> "ProcessingStore":
    from luthier.processing.store import ProcessingStore

    known = wiring.settings()
    return ProcessingStore(wiring.client("dynamodb"), known.table, most_live=known.organization_concurrent_processings)


@cache
def _processing_executions() -> "Executions":
    from luthier.executions import Executions

    return Executions(wiring.client("stepfunctions"), wiring.settings().processing_state_machine_arn)


@cache
def processings() -> "ProcessingService":
    from luthier.processing.service import ProcessingService

    return ProcessingService(_processing_store(), _processing_executions(), wiring.credits())


@cache
def processing_pipeline() -> "ProcessingPipeline":
    from luthier.processing.pipeline import ProcessingPipeline
    from luthier.processing.plan import Workshop

    workshop = Workshop(
        wiring.client("s3"), wiring.settings(), wiring.datasets(), wiring.models(), wiring._model_store()
    )
    executions, sagemaker = _processing_executions(), wiring.client("sagemaker")
    return ProcessingPipeline(_processing_store(), executions, sagemaker, workshop, wiring.usage())


@cache
def evaluations() -> "EvaluationService":
    from luthier.processing.benchmarks import Benchmarks
    from luthier.processing.evaluations import EvaluationService

    return EvaluationService(
        processings(), wiring.models(), Benchmarks(wiring.client("s3"), wiring.datasets(), wiring.settings())
    )


@cache
def comparisons() -> "ComparisonService":
    from luthier.processing.comparing import ComparisonService

    return ComparisonService(evaluations())


@cache
def previews() -> "PreviewService":
    from luthier.processing.previews import PreviewService

    s3, bucket = wiring.client("s3"), wiring.settings().data_bucket
    return PreviewService(wiring.datasets(), evaluations(), processings(), s3, bucket)


@cache
def downloads() -> "DownloadService":
    from luthier.downloads.service import DownloadService
    from luthier.downloads.store import DownloadStore

    store = DownloadStore(wiring.client("dynamodb"), wiring.settings().table)
    return DownloadService(store, wiring.models(), processings(), wiring.client("s3"))


@cache
def inference() -> "InferenceService":
    from luthier.inference.service import InferenceService

    return InferenceService(deployments(), aliases(), wiring._model_store(), _invoker(), wiring.usage())


@cache
def _alias_store() -> "AliasStore":
    from luthier.aliases.store import AliasStore

    return AliasStore(wiring.client("dynamodb"), wiring.settings().table)


@cache
def aliases() -> "AliasService":
    from luthier.aliases.service import AliasService

    return AliasService(_alias_store(), deployments())
