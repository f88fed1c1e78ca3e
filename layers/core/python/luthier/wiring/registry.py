"""What keeps models: their lists, versions and retention. Part of `luthier.wiring`."""

from functools import cache
from typing import TYPE_CHECKING

from luthier import wiring
from luthier.wiring import serving

if TYPE_CHECKING:
    from luthier.imports.service import ImportService
    from luthier.jobs.sharing import SharingService
    from luthier.models.listing import ModelListing
    from luthier.models.retention import RetentionService
    from luthier.models.versions import VersionService


@cache
def model_listing() -> "ModelListing":
    from luthier.models.listing import ModelListing

    return ModelListing(wiring.models(), wiring._model_store(), wiring._job_store())


@cache
def model_imports() -> "ImportService":
    from luthier.idempotency import Claims
    from luthier.imports.service import ImportService
    from luthier.imports.sources import ImportSources
    from luthier.imports.store import ImportStore

    dynamodb, name = wiring.client("dynamodb"), wiring.settings().table
    sources = ImportSources(wiring.client("s3"), wiring.settings())
    return ImportService(
        ImportStore(dynamodb, name),
        sources,
        sharing(),
        wiring.models(),
        serving.processings(),
        Claims(dynamodb, name),
    )


@cache
def sharing() -> "SharingService":
    from luthier.jobs.checkpoints import Checkpoints
    from luthier.jobs.sharing import PermissionStore, SharingService

    store = PermissionStore(wiring.client("dynamodb"), wiring.settings().table)
    return SharingService(store, Checkpoints(wiring._job_store(), wiring._job_storage(), wiring.models()))


@cache
def model_versions() -> "VersionService":
    from luthier.idempotency import Claims
    from luthier.models.versions import VersionService

    claims = Claims(wiring.client("dynamodb"), wiring.settings().table)
    return VersionService(wiring.models(), wiring._model_store(), wiring._job_store(), claims)


@cache
def retention() -> "RetentionService":
    from luthier.models.remains import RemainsStore
    from luthier.models.retention import RetentionService
    from luthier.processing.removal import ProcessingRemoval

    models, store = wiring.models(), wiring._model_store()
    remains = RemainsStore(wiring.client("dynamodb"), wiring.settings().table, store)
    aliases, s3 = serving._alias_store(), wiring.client("s3")
    processings = ProcessingRemoval(serving._processing_store(), s3, wiring.settings().artifacts_bucket)
    return RetentionService(models, store, remains, wiring._job_store(), aliases, processings, s3)
