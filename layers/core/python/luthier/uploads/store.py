"""Uploads in DynamoDB: one item each, which DynamoDB deletes when nobody can ask for it any more."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from luthier import clock, table
from luthier.idempotency import Claim, Claims
from luthier.uploads.entity import Upload

# For whoever asks again how it ended.
_KEPT = timedelta(days=30)


class UploadStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def get(self, organization_id: str, upload_id: str) -> Upload | None:
        """The upload of an id: one strongly consistent read."""
        key = table.encode(table.key(organization_id, table.upload(upload_id)))
        answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        if "Item" not in answer:
            return None
        item = table.decode(answer["Item"])
        return Upload(**{name: item[name] for name in Upload.__dataclass_fields__ if name in item})

    def claims(self, now: clock.Clock) -> Claims:
        """The idempotency claims that creates of uploads join."""
        return Claims(self._client, self._table, now)

    def create(self, upload: Upload, claim: Claim | None) -> None:
        """Write a new upload. Raises table.ConditionFailed when the claim is taken: it was made before."""
        claims = [claim.write(self._table, upload.id, clock.parse(upload.created_at))] if claim else []
        put = self._put(upload) | {"ConditionExpression": "attribute_not_exists(pk)"}
        table.transact(self._client, [*claims, {"Put": put}])

    def save(self, old: Upload, new: Upload, joined: Sequence[table.Write] = ()) -> Upload:
        """Write an upload in place of `old`, with a file's writes. Raises table.ConditionFailed when it has changed."""
        new = replace(new, writes=old.writes + 1)
        put = self._put(new) | {
            "ConditionExpression": "writes = :seen",
            "ExpressionAttributeValues": {":seen": {"N": str(old.writes)}},
        }
        table.transact(self._client, [{"Put": put}, *joined])
        return new

    def _put(self, upload: Upload) -> dict[str, Any]:
        until = clock.parse(upload.expires_at) + _KEPT
        item = table.key(upload.organization_id, table.upload(upload.id)) | asdict(upload)
        return {"TableName": self._table, "Item": table.encode(item | {"ttl": int(until.timestamp())})}
