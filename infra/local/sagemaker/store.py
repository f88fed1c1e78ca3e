"""What the plug-in remembers: records in SageMaker's Describe shapes, part of the cloud's snapshot."""

import copy
import threading
import time
from typing import Any

from infra.local.options import ACCOUNT, REGION

Record = dict[str, Any]
_KINDS = (
    *("training-job", "model", "endpoint-config", "endpoint", "inference-component"),
    *("scalable-target", "scaling-policy"),
)


def arn(kind: str, name: str) -> str:
    """The ARN of a SageMaker resource of this account."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name.lower() if kind != 'training-job' else name}"


class Store:
    """Records by kind and name. Threads of running jobs write here, so every access is under one lock."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._records: dict[str, dict[str, Record]] = {kind: {} for kind in _KINDS}
        self._tags: dict[str, dict[str, str]] = {}

    def add(self, kind: str, name: str, record: Record, tags: list[dict[str, str]]) -> bool:
        """Keep a new record; False when the name is taken."""
        with self._lock:
            if name in self._records[kind]:
                return False
            self._records[kind][name] = record
            self.tag(record[_ARN_MEMBER[kind]], tags)
            return True

    def get(self, kind: str, name: str) -> Record | None:
        """A copy of the record."""
        with self._lock:
            return copy.deepcopy(self._records[kind].get(name))

    def update(self, kind: str, name: str, **changes: Any) -> Record | None:
        """Change members of the record and its LastModifiedTime; returns a copy, None when it is gone."""
        with self._lock:
            record = self._records[kind].get(name)
            if record is None:
                return None
            record.update(changes, LastModifiedTime=time.time())
            return copy.deepcopy(record)

    def remove(self, kind: str, name: str) -> Record | None:
        with self._lock:
            record = self._records[kind].pop(name, None)
            if record:
                self._tags.pop(record[_ARN_MEMBER[kind]], None)
            return record

    def all(self, kind: str) -> list[Record]:
        with self._lock:
            return copy.deepcopy(list(self._records[kind].values()))

    def tag(self, resource: str, tags: list[dict[str, str]]) -> None:
        with self._lock:
            self._tags.setdefault(resource, {}).update({tag["Key"]: tag["Value"] for tag in tags})

    def untag(self, resource: str, keys: list[str]) -> None:
        with self._lock:
            for key in keys:
                self._tags.get(resource, {}).pop(key, None)

    def tags(self, resource: str) -> dict[str, str] | None:
        """The resource's tags; None for a resource that does not exist."""
        with self._lock:
            return dict(self._tags[resource]) if resource in self._tags else None

    def state(self) -> dict[str, Any]:
        """Everything, for the snapshot."""
        with self._lock:
            return copy.deepcopy({"records": self._records, "tags": self._tags})

    def restore(self, state: dict[str, Any] | None) -> None:
        """Take over a snapshot's content."""
        if state:
            with self._lock:
                self._records.update(state["records"])
                self._tags = state["tags"]


_ARN_MEMBER = {
    "training-job": "TrainingJobArn",
    "model": "ModelArn",
    "endpoint-config": "EndpointConfigArn",
    "endpoint": "EndpointArn",
    "inference-component": "InferenceComponentArn",
    "scalable-target": "ScalableTargetARN",
    "scaling-policy": "PolicyARN",
}
