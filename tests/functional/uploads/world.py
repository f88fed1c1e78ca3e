"""Uploads over a real table and a real bucket, in this process, under a test's clock."""

import json
from collections.abc import Callable
from typing import Any

from luthier import table
from luthier.accounts.entity import Principal
from luthier.datasets.content import DatasetContent
from luthier.datasets.entity import Dataset
from luthier.datasets.service import DatasetService
from luthier.datasets.store import DatasetStore
from luthier.processing.entity import PREVIEW
from luthier.processing.removal import ProcessingRemoval
from luthier.processing.store import ProcessingStore
from luthier.uploads.checking import FileChecks
from luthier.uploads.content import UploadParts
from luthier.uploads.entity import Upload
from luthier.uploads.service import UploadService
from luthier.uploads.store import UploadStore
from luthier.uploads.sweeping import FileSweeper
from tests.factories import SETTINGS, Platform, principal

WHO, OTHER = principal(), principal("org_b")
BUCKET = SETTINGS.data_bucket


def lines(first: int, count: int) -> bytes:
    return b"".join(json.dumps({"text": f"row {first + i}"}).encode() + b"\n" for i in range(count))


CONTENT = lines(0, 9)
# Cut where no line ends.
PARTS = [CONTENT[:50], CONTENT[50:61], CONTENT[61:]]


class Meddled:
    """A client before whose next call of one name somebody else acts: the race that the code names."""

    def __init__(self, client: Any, name: str, action: Callable[[], object]) -> None:
        self._client = client
        self._name = name
        self._action: Callable[[], object] | None = action

    def __getattr__(self, name: str) -> Any:
        if name == self._name and self._action:
            action, self._action = self._action, None
            action()
        return getattr(self._client, name)


class World:
    """dynamodb, s3: the clients of the services, which a test may let fail."""

    def __init__(self, platform: Platform, dynamodb: Any = None, s3: Any = None) -> None:
        self.platform = platform
        self.clock = platform.clock
        dynamodb, s3 = dynamodb or platform.dynamodb, s3 or platform.s3
        files, store = DatasetStore(dynamodb, SETTINGS.table), UploadStore(dynamodb, SETTINGS.table)
        parts, content = UploadParts(s3, BUCKET), DatasetContent(s3, BUCKET)
        self.datasets = DatasetService(files, s3, SETTINGS, self.clock)
        checks = FileChecks(files, content, store, parts, self.clock)
        self.service = UploadService(store, parts, self.datasets, files, checks, self.clock)
        processings = ProcessingStore(dynamodb, SETTINGS.table)
        previews = ProcessingRemoval(processings, s3, SETTINGS.artifacts_bucket, (PREVIEW,))
        jobs = platform.job_store
        self.sweeper = FileSweeper(files, self.datasets, checks, jobs, processings, previews, self.clock)

    def begin(self, size: int = len(CONTENT), who: Principal = WHO, **more: Any) -> Upload:
        asked: dict[str, Any] = {"filename": "train.jsonl", "purpose": "fine-tune"} | more
        return self.service.create(who, bytes=size, **asked)

    def add(self, upload: Upload, *contents: bytes, who: Principal = WHO) -> list[str]:
        return [self.service.add_part(who, upload.id, content).id for content in contents]

    def uploaded(self, contents: list[bytes] | None = None, **more: Any) -> tuple[Upload, list[str]]:
        """An upload all of whose parts are there."""
        contents = contents or PARTS
        upload = self.begin(sum(map(len, contents)), **more)
        return upload, self.add(upload, *contents)

    def completed(self, contents: list[bytes] | None = None, *, md5: str | None = None, **more: Any) -> Dataset:
        upload, parts = self.uploaded(contents, **more)
        _, file = self.service.complete(WHO, upload.id, part_ids=parts, md5=md5)
        assert file
        return file

    def sweep(self, **later: float) -> dict[str, list[str]]:
        self.clock.advance(**later or {"seconds": 1})
        return self.sweeper.sweep()

    def fresh(self, file: Dataset) -> Dataset:
        return self.datasets.stored(file.organization_id, file.id)

    def events(self, organization_id: str = WHO.organization_id) -> list[str]:
        """The names of the events about files in the outbox."""
        items = map(table.decode, self.platform.dynamodb.scan(TableName=SETTINGS.table)["Items"])
        mine = [item for item in items if item["pk"] == f"ORG#{organization_id}" and item["sk"].startswith("EVENT#")]
        return [item["type"] for item in mine if item["type"].startswith("dataset.")]

    def objects(self) -> list[str]:
        return [entry["Key"] for entry in self.platform.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def read(self, file: Dataset) -> bytes:
        return self.platform.s3.get_object(Bucket=BUCKET, Key=file.s3_key)["Body"].read()
