"""Models, endpoint configurations and tags: records without a process."""

import time
from typing import Any

from infra.local.sagemaker.errors import already_there, not_found
from infra.local.sagemaker.store import Record, Store, arn


class Catalogue:
    """The operations of one kind of record that only has a name.

    Args:
        kind: the ARN's resource type, for example `endpoint-config`.
        noun: how SageMaker's messages call it.
        member: the prefix of its members, for example `EndpointConfig`.
    """

    def __init__(self, store: Store, kind: str, noun: str, member: str) -> None:
        self._store = store
        self._kind = kind
        self._noun = noun
        self._member = member

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request[f"{self._member}Name"]
        kept = {key: value for key, value in request.items() if key != "Tags"}
        record: Record = {f"{self._member}Arn": arn(self._kind, name), **kept, "CreationTime": time.time()}
        if not self._store.add(self._kind, name, record, request.get("Tags", [])):
            raise already_there(self._noun, record[f"{self._member}Arn"])
        return {f"{self._member}Arn": record[f"{self._member}Arn"]}

    def describe(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request[f"{self._member}Name"]
        record = self._store.get(self._kind, name)
        if record is None:
            raise not_found(self._noun, arn(self._kind, name))
        return record

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        """The List operation, newest first, all on one page."""
        members = (f"{self._member}Name", f"{self._member}Arn", "CreationTime")
        found = [row for row in self._store.all(self._kind) if request.get("NameContains", "") in row[members[0]]]
        found.sort(key=lambda row: -row["CreationTime"])
        return {f"{self._member}s": [{key: row[key] for key in members} for row in found]}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        self.describe(request)
        self._store.remove(self._kind, request[f"{self._member}Name"])
        return {}


class Tags:
    """Tags of any SageMaker resource, by ARN."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, request: dict[str, Any]) -> dict[str, Any]:
        self._existing(request)
        self._store.tag(request["ResourceArn"], request["Tags"])
        return {"Tags": _pairs(self._existing(request))}

    def list(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"Tags": _pairs(self._existing(request))}

    def delete(self, request: dict[str, Any]) -> dict[str, Any]:
        self._existing(request)
        self._store.untag(request["ResourceArn"], request["TagKeys"])
        return {}

    def _existing(self, request: dict[str, Any]) -> dict[str, str]:
        tags = self._store.tags(request["ResourceArn"])
        if tags is None:
            raise not_found("resource", request["ResourceArn"])
        return tags


def _pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
