"""A job's training logs, read from CloudWatch Logs."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from luthier import clock
from luthier.jobs.entity import Job

# SageMaker writes every training job's output here, one stream `<training job>/algo-<host>-<epoch>` per host.
GROUP = "/aws/sagemaker/TrainingJobs"
MAX_LINES = 10_000


@dataclass(frozen=True)
class LogLine:
    timestamp: str
    level: str
    message: str


class JobLogs:
    def __init__(self, client: Any) -> None:
        self._client = client

    def tail(self, job: Job, *, lines: int, since: str | None) -> list[LogLine]:
        """The last `lines` lines over all attempts, oldest first; only those after `since` (ISO 8601)."""
        # CloudWatch knows no time before 1970.
        start = max(0, int(clock.parse(since).timestamp() * 1000)) + 1 if since else None
        found: list[LogLine] = []
        for stream in self._streams(job):
            window = {"startTime": start} if start else {}
            answer = self._client.get_log_events(
                logGroupName=GROUP, logStreamName=stream, limit=lines - len(found), startFromHead=False, **window
            )
            found = [line for event in answer["events"] if _is_after(line := _line(event), since)] + found
            if len(found) >= lines:
                break
        return found

    def _streams(self, job: Job) -> list[str]:
        """The job's streams, newest first."""
        prefix = job.id.replace("_", "-") + "-"
        try:
            pages = self._client.get_paginator("describe_log_streams").paginate(
                logGroupName=GROUP, logStreamNamePrefix=prefix
            )
            streams = [stream for page in pages for stream in page["logStreams"]]
        except self._client.exceptions.ResourceNotFoundException:
            return []
        streams.sort(key=lambda stream: stream.get("creationTime", 0), reverse=True)
        return [stream["logStreamName"] for stream in streams]


def _is_after(line: LogLine, since: str | None) -> bool:
    # CloudWatch stamps a line when it takes it in, the trainer when it says it: the shown stamp decides.
    return not since or clock.parse(line.timestamp) > clock.parse(since)


def _line(event: dict[str, Any]) -> LogLine:
    """The trainer prints JSON; anything else (a library's own line) is shown as it is."""
    at = clock.iso(datetime.fromtimestamp(event["timestamp"] / 1000, UTC))
    try:
        said = json.loads(event["message"])
        return LogLine(said.get("timestamp", at), said.get("level", "info"), said["message"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return LogLine(at, "info", event["message"])
