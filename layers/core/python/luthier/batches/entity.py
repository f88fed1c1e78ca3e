"""A batch: requests to one model that are answered when there is room. Pure: standard library only.

validating → in_progress → finalizing → completed
validating → failed: its file cannot be read as requests
in_progress → finalizing → expired: the window closed before all were answered
validating, in_progress → cancelling → cancelled

Three doors make batches: a list of requests (`requests`), an uploaded file of them (`file`), and a single request that
nobody waits for (`run`). Only files have to be validated.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

VALIDATING, IN_PROGRESS, FINALIZING, CANCELLING = "validating", "in_progress", "finalizing", "cancelling"
COMPLETED, FAILED, EXPIRED, CANCELLED = "completed", "failed", "expired", "cancelled"
ENDED = (COMPLETED, FAILED, EXPIRED, CANCELLED)

REQUESTS, FILE, RUN = "requests", "file", "run"
# What the ids of each door begin with; no prefix begins with another, so that each door can be listed alone.
PREFIXES = {REQUESTS: "rbatch", FILE: "batch", RUN: "run"}

# What the lines of a file may ask.
CHAT, TEXT = "/v1/chat/completions", "/v1/completions"

MOST_REQUESTS, MOST_LINES, MOST_BYTES, LONGEST_LINE = 100, 50_000, 200_000_000, 2_000_000
LONGEST_CUSTOM_ID = 512
WINDOW = timedelta(hours=24)
# A batch that has ended is kept so long; the objects that it has in S3 go a few days later.
KEPT = timedelta(days=30)
OBJECTS_KEPT_DAYS = 35
# What the keys of all of them begin with, so that one rule of the bucket removes what is old.
PREFIX = ".batches/"

NORMAL, HIGH = "normal", "high"


@dataclass(frozen=True)
class Batch:
    """`total`, `completed` and `failed` count requests; position: how many of them have an outcome, offset: where the
    next one begins in the input (bytes), parts: how many objects hold the outcomes.

    turn: counts the turns that workers took with it, so that a worker that was overtaken and a stale message are
    recognised; held_until: while it is in a worker's hands, when that must be dead; target: what every request asks,
    a model's name; metadata: the client's own; errors: why a file cannot be read, {code, line, message, param};
    moments: when it came into each status, ISO 8601 UTC;
    output_id, error_id: the files that it fills, named from the beginning and shown once they are there.
    """

    id: str
    organization_id: str
    user_id: str
    key_id: str
    door: str
    target: str
    status: str
    created_at: str
    expires_at: str
    endpoint: str = CHAT
    total: int = 0
    position: int = 0
    offset: int = 0
    parts: int = 0
    completed: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    turn: int = 0
    held_until: str | None = None
    input_file_id: str | None = None
    output_id: str | None = None
    error_id: str | None = None
    has_output: bool = False
    has_errors: bool = False
    callback_url: str | None = None
    metadata: dict[str, Any] | None = None
    priority: str = NORMAL
    errors: list[dict[str, Any]] = field(default_factory=list)
    moments: dict[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def output_file_id(self) -> str | None:
        return self.output_id if self.has_output else None

    @property
    def error_file_id(self) -> str | None:
        return self.error_id if self.has_errors else None

    @property
    def answered(self) -> bool:
        """Whether every request has an outcome."""
        return 0 < self.total == self.position

    @property
    def progress(self) -> str:
        """Its status in the words of the doors that have fewer: queued, running, or how it ended."""
        if self.ended:
            return self.status
        waiting = self.status in (VALIDATING, IN_PROGRESS) and not self.turn
        return "queued" if waiting else "cancelling" if self.status == CANCELLING else "running"

    @property
    def facts(self) -> dict[str, Any]:
        """What its event says; that of a run also which endpoint it asked, under whose path its answer is."""
        asked = {"endpointId": self.target} if self.door == RUN else {}
        return {"batchId": self.id, "total": self.total, "succeeded": self.completed, "failed": self.failed} | asked


@dataclass(frozen=True)
class Line:
    """One request as the input holds it; `end`: where in the input the next one begins."""

    number: int
    text: bytes
    end: int


@dataclass(frozen=True)
class Outcome:
    """What became of one request: an OpenAI `body` from a `version` of `model`, or `error`.

    error: {status, code, message, param, details}.
    An error without a status is about a request that was never asked. end: as in its line.
    """

    custom_id: str
    end: int
    request_id: str = ""
    body: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    model: str | None = None
    deployment_id: str | None = None
    version: str | None = None
    latency_ms: int = 0
    cost: float = 0.0
    metadata: dict[str, Any] | None = None

    @property
    def tokens(self) -> dict[str, int]:
        """Of the prompt and of the answer."""
        used = (self.body or {}).get("usage") or {}
        return {name: used.get(name) or 0 for name in ("prompt_tokens", "completion_tokens")}
