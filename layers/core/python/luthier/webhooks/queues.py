"""The queues between fan-out and delivery. One message is one try of one delivery.

Two lanes: an endpoint that is not known to be slow gets a short wait in the quick lane; whoever does not answer in it
goes on in the slow lane with all the patience that is promised, and takes nobody's place there but its own.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

QUICK_SECONDS, SLOW_SECONDS = 3, 15
_BATCH = 10


@dataclass(frozen=True)
class Message:
    """`tries`: how many the delivery had when this was sent, so that a stale message is recognised."""

    organization_id: str
    endpoint_id: str
    event_id: str
    tries: int
    slow: bool = False

    @property
    def seconds(self) -> int:
        """How long the receiver may take."""
        return SLOW_SECONDS if self.slow else QUICK_SECONDS

    @property
    def group(self) -> str:
        """SQS takes some characters and 128 of them; an organization's name may have others."""
        return hashlib.sha256(f"{self.organization_id}/{self.endpoint_id}".encode()).hexdigest()

    @classmethod
    def read(cls, text: str) -> "Message":
        return cls(**json.loads(text))


class DeliveryQueues:
    def __init__(self, client: Any, *, quick: str, slow: str, dead: str) -> None:
        self._client = client
        self._urls = {False: quick, True: slow}
        self._dead = dead

    def send(self, messages: Iterable[Message], *, delay: int = 0) -> None:
        """Send messages, up to 15 minutes delayed. Raises where a queue does not take one."""
        for slow, lane in groupby(sorted(messages, key=lambda message: message.slow), key=lambda one: one.slow):
            waiting = list(lane)
            for start in range(0, len(waiting), _BATCH):
                self._send(self._urls[slow], waiting[start : start + _BATCH], delay)

    def bury(self, message: Message, reason: str | None) -> None:
        """Leave a message where people look for what was given up."""
        self._client.send_message(QueueUrl=self._dead, MessageBody=json.dumps(asdict(message) | {"reason": reason}))

    def _send(self, url: str, batch: list[Message], delay: int) -> None:
        entries = [
            {
                "Id": str(i),
                "MessageBody": json.dumps(asdict(message)),
                "DelaySeconds": delay,
                # Fair queues: a group with many messages does not make the others wait.
                "MessageGroupId": message.group,
            }
            for i, message in enumerate(batch)
        ]
        answer = self._client.send_message_batch(QueueUrl=url, Entries=entries)
        if answer.get("Failed"):
            raise RuntimeError(
                f"The queue refused {len(answer['Failed'])} of {len(batch)} messages: {answer['Failed']}"
            )
