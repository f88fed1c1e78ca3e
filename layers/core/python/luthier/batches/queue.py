"""The queue of batches that wait for a worker. One message is one turn of one batch."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from luthier.batches.entity import Batch


@dataclass(frozen=True)
class Message:
    """`turn`: how many the batch had taken when this was sent, so that a stale message is recognised."""

    organization_id: str
    batch_id: str
    turn: int

    @classmethod
    def of(cls, batch: Batch) -> "Message":
        return cls(batch.organization_id, batch.id, batch.turn)

    @classmethod
    def read(cls, text: str) -> "Message":
        return cls(**json.loads(text))


class BatchQueue:
    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(self, batch: Batch, *, delay: int = 0) -> None:
        """Let a worker take the batch's next turn, in `delay` seconds (up to 900)."""
        body = json.dumps(asdict(Message.of(batch)))
        self._client.send_message(QueueUrl=self._url, MessageBody=body, DelaySeconds=delay)
