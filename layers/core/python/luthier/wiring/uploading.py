"""What takes files in parts, repairs them, and what happens to them later. Part of `luthier.wiring`."""

from functools import cache
from typing import TYPE_CHECKING

from luthier import wiring
from luthier.wiring import serving

if TYPE_CHECKING:
    from luthier.datasets.content import DatasetContent
    from luthier.datasets.repairs import RepairService
    from luthier.uploads.checking import FileChecks
    from luthier.uploads.content import UploadParts
    from luthier.uploads.service import UploadService
    from luthier.uploads.store import UploadStore
    from luthier.uploads.sweeping import FileSweeper


@cache
def uploads() -> "UploadService":
    from luthier.uploads.service import UploadService

    return UploadService(_store(), _parts(), wiring.datasets(), wiring._dataset_store(), _checks())


@cache
def repairs() -> "RepairService":
    from luthier.datasets.repairs import RepairService

    return RepairService(wiring.datasets(), wiring._dataset_store(), _content())


@cache
def file_sweeper() -> "FileSweeper":
    from luthier.processing.entity import PREVIEW
    from luthier.processing.removal import ProcessingRemoval
    from luthier.uploads.sweeping import FileSweeper

    jobs, processings = wiring._job_store(), serving._processing_store()
    previews = ProcessingRemoval(processings, wiring.client("s3"), wiring.settings().artifacts_bucket, (PREVIEW,))
    return FileSweeper(wiring._dataset_store(), wiring.datasets(), _checks(), jobs, processings, previews)


@cache
def _checks() -> "FileChecks":
    from luthier.uploads.checking import FileChecks

    return FileChecks(wiring._dataset_store(), _content(), _store(), _parts())


@cache
def _content() -> "DatasetContent":
    from luthier.datasets.content import DatasetContent

    return DatasetContent(wiring.client("s3"), wiring.settings().data_bucket)


@cache
def _store() -> "UploadStore":
    from luthier.uploads.store import UploadStore

    return UploadStore(wiring.client("dynamodb"), wiring.settings().table)


@cache
def _parts() -> "UploadParts":
    from luthier.uploads.content import UploadParts

    return UploadParts(wiring.client("s3"), wiring.settings().data_bucket)
