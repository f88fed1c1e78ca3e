"""What answers requests that nobody waits for, and says how a deployment is. Part of `luthier.wiring`."""

from functools import cache
from typing import TYPE_CHECKING

from luthier import wiring
from luthier.wiring import serving

if TYPE_CHECKING:
    from luthier.batches.content import BatchContent
    from luthier.batches.finishing import Finisher
    from luthier.batches.queue import BatchQueue
    from luthier.batches.service import BatchService
    from luthier.batches.store import BatchStore
    from luthier.batches.worker import Worker
    from luthier.deployments.health import HealthService


@cache
def _store() -> "BatchStore":
    from luthier.batches.store import BatchStore

    known = wiring.settings()
    return BatchStore(wiring.client("dynamodb"), known.table, most_live=known.organization_unfinished_batches)


@cache
def _content() -> "BatchContent":
    from luthier.batches.content import BatchContent

    return BatchContent(wiring.client("s3"), wiring.settings().data_bucket)


@cache
def _queue() -> "BatchQueue":
    from luthier.batches.queue import BatchQueue

    return BatchQueue(wiring.client("sqs"), wiring.settings().batch_queue_url)


@cache
def batches() -> "BatchService":
    from luthier.batches.service import BatchService

    return BatchService(
        _store(),
        _content(),
        _queue(),
        wiring.datasets(),
        serving.deployments(),
        serving.aliases(),
        wiring.destinations(),
    )


@cache
def _finisher() -> "Finisher":
    from luthier.batches.finishing import Finisher

    return Finisher(_store(), _content(), wiring.datasets(), serving.deployments(), serving.aliases())


@cache
def batch_worker() -> "Worker":
    from luthier.batches.answering import Desk
    from luthier.batches.worker import Worker
    from luthier.inference.service import InferenceService
    from luthier.usage.service import UsageOfKept
    from luthier.usage.store import UsageStore

    price = wiring.settings().inference_cents_per_1000_tokens
    usage = UsageOfKept(UsageStore(wiring.client("dynamodb"), wiring.settings().table), wiring.credits(), price=price)
    # Before several threads want it: boto3 makes its clients in one thread only.
    _ = wiring.client("sagemaker-runtime").exceptions
    inference = InferenceService(
        serving.deployments(), serving.aliases(), wiring._model_store(), serving._invoker(), usage
    )
    return Worker(
        _store(),
        _content(),
        _queue(),
        Desk(inference, usage),
        _finisher(),
        serving.deployments(),
        serving.aliases(),
        usage,
    )


@cache
def health() -> "HealthService":
    from luthier.deployments.health import HealthService
    from luthier.deployments.probe import Probe

    return HealthService(serving.deployments(), serving.aliases(), serving._endpoints(), Probe(serving._invoker()))
