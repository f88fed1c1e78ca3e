"""Download tokens in DynamoDB, by digest: who reads the table cannot use them. Expired ones are removed by DynamoDB."""

import hashlib
from dataclasses import asdict
from typing import Any

from luthier import clock, table
from luthier.downloads.entity import Download, File


class DownloadStore:
    def __init__(self, client: Any, table_name: str) -> None:
        self._client = client
        self._table = table_name

    def put(self, token: str, download: Download) -> None:
        item = _key(token) | asdict(download) | {"ttl": int(clock.parse(download.expires_at).timestamp())}
        self._client.put_item(TableName=self._table, Item=table.encode(item))

    def find(self, token: str) -> Download | None:
        """What a token leads to, expired or not: one read."""
        answer = self._client.get_item(TableName=self._table, Key=table.encode(_key(token)), ConsistentRead=True)
        return _download(table.decode(answer["Item"])) if "Item" in answer else None


def _key(token: str) -> table.Item:
    return table.download(hashlib.sha256(token.encode()).hexdigest())


def _download(item: table.Item) -> Download:
    known = {name: item[name] for name in Download.__dataclass_fields__}
    known["files"] = [File(**file) for file in item["files"]]
    return Download(**known | {"archive": File(**item["archive"]) if item["archive"] else None})
