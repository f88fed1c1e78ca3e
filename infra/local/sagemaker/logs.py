"""Output lines of children, as CloudWatch Logs keeps them."""

import contextlib
import logging
import queue
import threading
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger("luthier.sagemaker")
_BATCH_SECONDS = 0.5
_BATCH_LINES = 1000


class LogStream:
    """One stream of a log group; lines are put in batches by a thread of its own.

    Args:
        client: a CloudWatch Logs client of the job's role.
    """

    def __init__(self, client: Any, group: str, stream: str) -> None:
        self._client = client
        self._group = group
        self._stream = stream
        self._lines: queue.Queue[tuple[int, str] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name=f"logs-{stream}", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Keep one line, stamped now."""
        self._lines.put((int(time.time() * 1000), line))

    def close(self) -> None:
        """Put what is left; returns when it is stored."""
        self._lines.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        created = open_ended = False
        while not open_ended:
            batch, open_ended = self._next_batch()
            if not batch:
                continue
            try:
                if not created:
                    self._create()
                    created = True
                self._put(batch)
            except (ClientError, BotoCoreError) as error:
                log.warning("Log lines of %s were not stored: %s", self._stream, error)

    def _next_batch(self) -> tuple[list[tuple[int, str]], bool]:
        first = self._lines.get()
        if first is None:
            return [], True
        batch, until = [first], time.monotonic() + _BATCH_SECONDS
        while len(batch) < _BATCH_LINES:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return batch, False
            if line is None:
                return batch, True
            batch.append(line)
        return batch, False

    def _create(self) -> None:
        """A function's group is the template's, and its role may not make one."""
        exceptions = self._client.exceptions
        try:
            self._create_stream()
        except exceptions.ResourceNotFoundException:
            with contextlib.suppress(exceptions.ResourceAlreadyExistsException):
                self._client.create_log_group(logGroupName=self._group)
            self._create_stream()

    def _create_stream(self) -> None:
        with contextlib.suppress(self._client.exceptions.ResourceAlreadyExistsException):
            self._client.create_log_stream(logGroupName=self._group, logStreamName=self._stream)

    def _put(self, batch: list[tuple[int, str]]) -> None:
        events = [{"timestamp": at, "message": line} for at, line in batch]
        self._client.put_log_events(logGroupName=self._group, logStreamName=self._stream, logEvents=events)
