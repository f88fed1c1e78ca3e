"""A dataset service over a real table and real buckets, in this process."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import boto3
import requests
from botocore.config import Config

from luthier.accounts.entity import Principal
from luthier.datasets.entity import Dataset
from luthier.datasets.service import DatasetService, PresignedUpload
from luthier.datasets.store import DatasetStore
from luthier.settings import Settings
from tests import tables
from tests.factories import SETTINGS, principal

REGION = "us-east-1"
NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
ACME, OTHER = principal("org_acme"), principal("org_other")
GOOD = b'{"text": "a"}\n{"text": "b"}\n'


@dataclass
class Calls:
    """The requests that reached AWS, by operation name."""

    names: list[str]

    def made_by(self, action: Callable[[], object]) -> list[str]:
        self.names.clear()
        action()
        return list(self.names)


@dataclass
class World:
    service: DatasetService
    settings: Settings
    dynamodb: Any
    s3: Any
    calls: Calls

    def upload(self, name: str = "train.jsonl", content: bytes = GOOD, of: Principal | None = None) -> Dataset:
        return self.service.upload(of or ACME, filename=name, purpose="fine-tune", content=content)

    def put(self, upload: PresignedUpload, content: bytes) -> None:
        """PUT to the upload's address, as a client does; moto answers `requests` without a socket."""
        answer = requests.put(upload.url, data=content, headers=upload.headers, timeout=5)
        assert answer.status_code == 200, answer.text

    def before_next(self, operation: str, action: Callable[[], object]) -> None:
        """Let somebody else act just before the next DynamoDB request of a kind: the race that the code names."""
        events, name = self.dynamodb.meta.events, f"before-call.dynamodb.{operation}"

        def once(**_: Any) -> None:
            events.unregister(name, once)
            action()

        events.register(name, once)

    def keys(self) -> list[str]:
        return [entry["Key"] for entry in self.s3.list_objects_v2(Bucket=self.settings.data_bucket).get("Contents", [])]

    def items(self) -> list[str]:
        """What lies in the table beside the outbox."""
        scanned = self.dynamodb.scan(TableName=self.settings.table)["Items"]
        return sorted(kind for item in scanned if (kind := item["sk"]["S"].split("#")[0]) != "EVENT")


class Cloud:
    """AWS in this process. Clients are slow to make, so all worlds of a module share them."""

    def __init__(self) -> None:
        self._dynamodb = boto3.client("dynamodb", REGION)
        self._s3 = boto3.client("s3", REGION, config=Config(signature_version="s3v4"))
        self._calls = Calls([])
        self._worlds = itertools.count(1)
        for client in (self._dynamodb, self._s3):
            client.meta.events.register("before-call.*.*", lambda model, **_: self._calls.names.append(model.name))

    def world(self) -> World:
        """A fresh table, a fresh bucket and the service over them."""
        number = next(self._worlds)
        settings = replace(SETTINGS, table=f"luthier-{number}", data_bucket=f"luthier-data-{number}")
        tables.create(self._dynamodb, settings.table)
        self._s3.create_bucket(Bucket=settings.data_bucket)
        store = DatasetStore(self._dynamodb, settings.table)
        service = DatasetService(store, self._s3, settings, lambda: NOW)
        return World(service, settings, self._dynamodb, self._s3, self._calls)
