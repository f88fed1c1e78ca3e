"""Wire shapes of batches on the openai surface: OpenAI's batch object over uploaded files."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints

from luthier import clock
from luthier.batches.entity import (
    CANCELLED,
    CANCELLING,
    COMPLETED,
    EXPIRED,
    FAILED,
    FINALIZING,
    IN_PROGRESS,
    MOST_BYTES,
    MOST_LINES,
    Batch,
)
from luthier.wire import LONGEST_NAME, Answer, Request

_Key = Annotated[str, StringConstraints(max_length=64)]
_Value = Annotated[str, StringConstraints(max_length=512)]
_MOMENTS = (IN_PROGRESS, FINALIZING, COMPLETED, FAILED, EXPIRED, CANCELLING, CANCELLED)


class OutputExpiresAfter(Request):
    anchor: Literal["created_at"]
    seconds: int = Field(ge=3_600, le=2_592_000)


class CreateBatch(Request):
    input_file_id: str = Field(
        min_length=1,
        max_length=LONGEST_NAME,
        description=f"Of the purpose batch: at most {MOST_LINES:,} requests to one model, in {MOST_BYTES:,} bytes.",
    )
    endpoint: Literal["/v1/chat/completions", "/v1/completions"]
    completion_window: Literal["24h"]
    metadata: Annotated[dict[_Key, _Value], Field(max_length=16)] | None = None
    output_expires_after: OutputExpiresAfter | None = Field(
        default=None, description="Accepted; files stay until they are deleted."
    )


class BatchError(Answer):
    code: str
    line: int | None
    message: str
    param: str | None


class BatchErrors(Answer):
    object: Literal["list"] = "list"
    data: list[BatchError]


class RequestCounts(Answer):
    total: int
    completed: int
    failed: int


class InputTokensDetails(Answer):
    cached_tokens: int = 0


class OutputTokensDetails(Answer):
    reasoning_tokens: int = 0


class BatchUsage(Answer):
    input_tokens: int
    input_tokens_details: InputTokensDetails = InputTokensDetails()
    output_tokens: int
    output_tokens_details: OutputTokensDetails = OutputTokensDetails()
    total_tokens: int


class BatchObject(Answer):
    """Times in Unix seconds; null until they have come."""

    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str = "24h"
    status: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, Any] | None

    @classmethod
    def of(cls, batch: Batch) -> Self:
        seen = batch.moments
        moments: dict[str, Any] = {f"{name}_at": clock.epoch(seen[name]) if name in seen else None for name in _MOMENTS}
        names = ("id", "endpoint", "status", "output_file_id", "error_file_id", "metadata")
        return cls(
            **{name: getattr(batch, name) for name in names},
            **moments,
            model=batch.target or None,
            errors=BatchErrors(data=[BatchError(**fault) for fault in batch.errors]) if batch.errors else None,
            input_file_id=batch.input_file_id or "",
            created_at=clock.epoch(batch.created_at),
            expires_at=clock.epoch(batch.expires_at),
            request_counts=RequestCounts(total=batch.total, completed=batch.completed, failed=batch.failed),
            usage=BatchUsage(
                input_tokens=batch.prompt_tokens,
                output_tokens=batch.completion_tokens,
                total_tokens=batch.prompt_tokens + batch.completion_tokens,
            ),
        )


class BatchList(Answer):
    object: Literal["list"] = "list"
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool

    @classmethod
    def of(cls, batches: Sequence[Batch], has_more: bool) -> Self:
        data = [BatchObject.of(batch) for batch in batches]
        first_id, last_id = (data[0].id, data[-1].id) if data else (None, None)
        return cls(data=data, has_more=has_more, first_id=first_id, last_id=last_id)
